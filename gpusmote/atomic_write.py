"""Atomic writes of files: either all files of a call appear, complete, or none does."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from gpusmote.errors import DestinationExistsError, FileError
from gpusmote.io_errors import writing

try:
    import fcntl
except ImportError:  # Windows has no fcntl: leftover files are not removed there
    fcntl = None  # type: ignore[assignment]

__all__ = ["remove_leftovers", "whole_files"]

_LEFTOVER = re.compile(r"\..*\.gpusmote-[0-9a-f]{16}\.part", re.DOTALL)
_NAME_CHARACTERS = 40  # of the destination's name kept in the temporary name, which is limited to 255 bytes
_BUFFER_BYTES = 1 << 20
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextlib.contextmanager
def whole_files(paths: Sequence[str | os.PathLike[str]], *, force: bool = False) -> Iterator[list[BinaryIO]]:
    """Open files for writing that get their names only when the ``with`` block ends without an exception.

    Each file is written under a temporary name in the folder of its destination and locked while it is written. When
    the block ends, all files are flushed to the disk and closed. Then, in the order of ``paths``, each file is renamed
    and its folder flushed before the next one is renamed. So the last path exists only if all do, even after a power
    failure. A process that is killed leaves temporary files behind; the next call that writes to the folder removes
    those that are not locked.

    Parameters
    ----------
    paths : sequence of path-like
        Files to write. Symbolic links are followed.
    force : bool, default=False
        Whether to replace existing files. If False, a file that appears during the block is not replaced either.

    Yields
    ------
    list of binary file
        Buffered, in the order of ``paths``. They are closed when the block ends.

    Raises
    ------
    FileError
        If a file cannot be created, written, renamed or flushed to the disk.
    DestinationExistsError
        If a file exists and ``force`` is False.
    """
    with contextlib.ExitStack() as stack:
        made = []
        for path in paths:
            temporary = _Temporary(path, force)
            stack.callback(temporary.close)  # before the file is created: a signal may end the run at any moment
            temporary.create()
            made.append(temporary)
        yield [temporary.file for temporary in made]
        _publish(made)


class _Temporary:
    """A file under a temporary name in the folder of its destination."""

    def __init__(self, path: str | os.PathLike[str], force: bool) -> None:
        self.asked, self.force = Path(path), force
        self.destination = Path(os.path.realpath(path))
        self.name = ""
        self.file: BinaryIO
        self._lock: int | None = None  # a duplicate descriptor, which keeps the lock after the file is closed
        self._stat: os.stat_result | None = None

    def create(self) -> None:
        """Create the file and lock it."""
        self.refuse_existing()
        folder = self.destination.parent
        if not folder.is_dir():
            raise FileError(
                f"The folder {folder} of {self.asked} does not exist.", "Create it first.", filename=str(self.asked)
            )
        remove_leftovers(folder)
        with writing(self.asked):
            while not self._hold():
                pass
            if self.destination.exists():  # a file that replaces another keeps its permissions
                os.chmod(self.name, stat.S_IMODE(self.destination.stat().st_mode))

    def _hold(self) -> bool:
        """Create and lock the file; False if another process removed it as a leftover before it was locked."""
        self._open("part")
        if _lock(self.file.fileno(), wait=True):
            if os.path.exists(self.name):
                return True
            self.file.close()
            return False
        # Locks do not work here, so the file gets a name that other processes do not take for a leftover.
        self.close()
        self._open("unlocked")
        return True

    def _open(self, ending: str) -> None:
        start = f".{self.destination.name[:_NAME_CHARACTERS]}.gpusmote-{secrets.token_hex(8)}"
        self.name = str(self.destination.parent / f"{start}.{ending}")
        self.file = open(self.name, "xb", buffering=_BUFFER_BYTES)  # noqa: SIM115 (whole_files closes it)

    def refuse_existing(self) -> None:
        """Raise FileError if the destination is not a regular file, DestinationExistsError if ``force`` is missing."""
        if not os.path.lexists(self.destination):
            return
        if not self.destination.is_file():
            kind = "a folder" if self.destination.is_dir() else "not an ordinary file"
            raise FileError(f"{self.asked} is {kind}.", "Name a file to write to.", filename=str(self.asked))
        if not self.force:
            raise DestinationExistsError(
                f"{self.asked} exists already.", "Choose another name, or replace it with force.", str(self.asked)
            )

    def finish(self) -> None:
        """Flush all bytes to the disk and close the file, but keep its lock."""
        with writing(self.asked):
            self.file.flush()
            os.fsync(self.file.fileno())
            self._stat = os.fstat(self.file.fileno())
            if fcntl is not None:
                self._lock = os.dup(self.file.fileno())
            self.file.close()  # network file systems may report a failed write only when a file is closed

    def publish(self) -> None:
        """Rename the file to its destination and flush the folder."""
        with writing(self.asked):
            if self.force:
                os.replace(self.name, self.destination)
            else:
                self._link()
        try:
            _sync_folder(self.destination.parent)
        except OSError as error:
            state = "has been replaced, but may be lost if the power fails" if self.force else "was removed again"
            raise FileError(
                f"The folder of {self.asked} cannot be flushed to the disk: {error.strerror}.",
                f"The file {state}. Check the disk, then run again.",
                str(self.asked),
                error.errno,
            ) from error

    def take_back(self) -> None:
        """Remove the published file again, unless it may have replaced another."""
        if not self.force and self._stat is not None:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.lstat(self.destination), self._stat):
                    os.unlink(self.destination)

    def _link(self) -> None:
        # A rename would replace a file that has appeared meanwhile; a link fails instead.
        try:
            os.link(self.name, self.destination)
        except FileExistsError:
            self.refuse_existing()
            raise
        except OSError:  # the file system has no hard links
            self.refuse_existing()
            os.replace(self.name, self.destination)

    def close(self) -> None:
        """Remove the temporary name if it still exists, close the file, and then release the lock."""
        if self.name:
            with contextlib.suppress(OSError):
                os.unlink(self.name)
        with contextlib.suppress(OSError, AttributeError):  # the disk is full; the file was not created
            self.file.close()
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.close(self._lock)


def _lock(handle: int, wait: bool) -> bool:
    """Lock a file; False if another process holds the lock or the file system has no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes that have ended: those in the folder that are not locked."""
    with contextlib.suppress(OSError):
        for name in filter(_LEFTOVER.fullmatch, os.listdir(folder)):
            with contextlib.suppress(OSError):
                _remove_if_free(folder / name)


def _remove_if_free(path: Path) -> None:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        if _lock(handle, wait=False):
            os.unlink(path)
    finally:
        os.close(handle)


def _publish(made: list[_Temporary]) -> None:
    for temporary in made:
        temporary.finish()
    for temporary in made:
        temporary.refuse_existing()
    try:
        for temporary in made:
            temporary.publish()
    except BaseException:
        for temporary in reversed(made):  # so that the last file never exists without the others
            temporary.take_back()
        raise


def _sync_folder(folder: Path) -> None:
    """Flush a folder (the names of its files) to the disk, if the system supports it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # the folder may not be read, or the system is Windows
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)
