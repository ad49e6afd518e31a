"""What goes wrong with files, in words."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from gpusmote.errors import DestinationExistsError, FileError, GpusmoteError, InputError, MemoryShortageError

__all__ = ["file_error", "naming", "reading", "writing"]

_WORDS = {
    errno.ENOENT: ("does not exist", "Look at the spelling, and at the folder that it is relative to."),
    errno.EISDIR: ("is a folder", "Name a file."),
    errno.ENOTDIR: ("does not exist: part of its path is a file", "Look at the spelling."),
    errno.EACCES: ("may not be {done}: permission denied", "Look at the rights of the file and of its folder."),
    errno.EPERM: ("may not be {done}: not permitted", "Look at the rights of the file and of its folder."),
    errno.EROFS: ("cannot be {done}: the file system is read-only", "Choose another folder."),
    errno.ENOSPC: ("cannot be {done}: the disk is full", "Make room, or choose another disk; nothing was left behind."),
    errno.EDQUOT: ("cannot be {done}: the quota is used up", "Make room; nothing was left behind."),
    errno.EFBIG: ("cannot be {done}: a file may not be so large here", "Look at ulimit -f; nothing was left behind."),
    errno.ENAMETOOLONG: ("cannot be {done}: the name is too long", "Choose a shorter one."),
    errno.EEXIST: ("exists already", "Choose another name, or replace it with force."),
}


def file_error(path: str | os.PathLike[str], done: str, error: BaseException) -> FileError:
    """The error of ours for what the system or pyarrow says; ``done`` is "read" or "written"."""
    number = getattr(error, "errno", None)
    name = os.fspath(path)
    kind = DestinationExistsError if number == errno.EEXIST else FileError
    if number == errno.ENOENT and done == "written":
        if os.path.isdir(os.path.dirname(os.path.realpath(name))):
            hint = "If its temporary file was removed meanwhile, run again; else choose another folder."
            return kind(f"{name} cannot be written: there is no such file.", hint, name, number)
        hint = "Run again once nobody removes or renames it."
        return kind(f"{name} cannot be written: its folder was removed meanwhile.", hint, name, number)
    if number in _WORDS:
        words, hint = _WORDS[number]
        return kind(f"{name} {words.format(done=done)}.", hint, name, number)
    first = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return kind(f"{name} cannot be {done}: {first}.", "", name, number if isinstance(number, int) else None)


@contextlib.contextmanager
def _translated(path: str | os.PathLike[str], done: str) -> Iterator[None]:
    try:
        yield
    except GpusmoteError:
        raise
    except MemoryError as error:
        raise MemoryShortageError(
            f"Memory ran out while {os.fspath(path)} was {done}.", "Give a smaller memory_limit, for smaller blocks."
        ) from error
    except _told() as error:
        raise file_error(path, done, error) from error


def _told() -> tuple[type[Exception], ...]:
    """The system's errors, and pyarrow's if it is loaded: files are also written where it is not installed."""
    loaded = sys.modules.get("pyarrow")
    system = (OSError, UnicodeDecodeError)  # the latter of names in a damaged header
    return system if loaded is None else (*system, loaded.ArrowException)


def reading(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """What fails in the block is told as a FileError about reading ``path``."""
    return _translated(path, "read")


def writing(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """What fails in the block is told as a FileError about writing ``path``."""
    return _translated(path, "written")


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """An InputError in the block is told again, with the file's name in front."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{os.fspath(path)}: {error.message}", error.hint) from error
