"""Translation of errors of the operating system and of pyarrow into :class:`~gpusmote.errors.FileError`."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from gpusmote.errors import DestinationExistsError, FileError, GpusmoteError, InputError, MemoryShortageError

__all__ = ["file_error", "naming", "reading", "writing"]

_MESSAGES = {
    errno.ENOENT: ("does not exist", "Check the spelling, and the folder that the path is relative to."),
    errno.EISDIR: ("is a folder", "Name a file."),
    errno.ENOTDIR: ("does not exist: part of its path is a file", "Check the spelling."),
    errno.EACCES: ("cannot be {done}: permission denied", "Check the permissions of the file and of its folder."),
    errno.EPERM: ("cannot be {done}: not permitted", "Check the permissions of the file and of its folder."),
    errno.EROFS: ("cannot be {done}: the file system is read-only", "Choose another folder."),
    errno.ENOSPC: ("cannot be {done}: the disk is full", "Free some space, or choose another disk; no file was left."),
    errno.EDQUOT: ("cannot be {done}: the disk quota is used up", "Free some space; no file was left."),
    errno.EFBIG: ("cannot be {done}: it exceeds the file size limit", "See ulimit -f; no file was left."),
    errno.ENAMETOOLONG: ("cannot be {done}: the name is too long", "Choose a shorter name."),
    errno.EEXIST: ("exists already", "Choose another name, or replace it with force."),
}


def file_error(path: str | os.PathLike[str], done: str, error: BaseException) -> FileError:
    """The FileError for an error of the operating system or of pyarrow; ``done`` is "read" or "written"."""
    number = getattr(error, "errno", None)
    name = os.fspath(path)
    kind = DestinationExistsError if number == errno.EEXIST else FileError
    if number == errno.ENOENT and done == "written":
        what = f"{name} cannot be written: its folder or its temporary file was removed during the run."
        return kind(what, "Make sure that no other program removes them, then run again.", name, number)
    if number in _MESSAGES:
        message, hint = _MESSAGES[number]
        return kind(f"{name} {message.format(done=done)}.", hint, name, number)
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
            f"Memory ran out while {os.fspath(path)} was {done}.", "Set a smaller memory_limit, for smaller blocks."
        ) from error
    except _translatable() as error:
        raise file_error(path, done, error) from error


def _translatable() -> tuple[type[Exception], ...]:
    """The exception types to translate; pyarrow's only if it is loaded, as it is optional."""
    loaded = sys.modules.get("pyarrow")
    system = (OSError, UnicodeDecodeError)  # UnicodeDecodeError: names in a damaged header
    return system if loaded is None else (*system, loaded.ArrowException)


def reading(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """Translate errors in a ``with`` block into FileErrors about reading ``path``."""
    return _translated(path, "read")


def writing(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """Translate errors in a ``with`` block into FileErrors about writing ``path``."""
    return _translated(path, "written")


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of the file in front of the message of each InputError in a ``with`` block."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{os.fspath(path)}: {error.message}", error.hint) from error
