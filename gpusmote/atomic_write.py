"""Files that appear whole or not at all, whatever ends the process."""

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
except ImportError:  # not on Windows: leftovers then stay
    fcntl = None  # type: ignore[assignment]

__all__ = ["remove_leftovers", "whole_files"]

_LEFTOVER = re.compile(r"\..*\.gpusmote-[0-9a-f]{16}\.part", re.DOTALL)
_NAME_CHARACTERS = 40  # of the destination's name in the temporary one, which may not grow beyond 255 bytes
_BUFFER_BYTES = 1 << 20
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextlib.contextmanager
def whole_files(paths: Sequence[str | os.PathLike[str]], *, force: bool = False) -> Iterator[list[BinaryIO]]:
    """Files to write to, which take their names when the block ends, all of them, and never exist if it raises.

    Each is written under a temporary name beside its destination and held by a lock while its writer lives. When
    the block ends, all are flushed to the disk and closed. Then, in the order of ``paths``, each is renamed and its
    folder flushed before the next is renamed. So the last path is there only if all are, after a power failure too. A
    process that is killed leaves temporary files behind; the next one that writes to the folder removes those that
    nobody holds any more.

    Parameters
    ----------
    paths : sequence of path-like
        Links are followed.
    force : bool, default=False
        Whether files that exist are replaced. Without it, one that appears in the meantime is not touched either.

    Yields
    ------
    list of binary file
        Buffered, in the order of ``paths``; closed by this function.

    Raises
    ------
    FileError
        If a file cannot be made, written, renamed or flushed to the disk.
    DestinationExistsError
        If one exists and ``force`` is not set.
    """
    with contextlib.ExitStack() as stack:
        made = []
        for path in paths:
            temporary = _Temporary(path, force)
            stack.callback(temporary.close)  # before there is a file: a signal may end the run at any moment
            temporary.create()
            made.append(temporary)
        yield [temporary.file for temporary in made]
        _publish(made)


class _Temporary:
    """A file under a temporary name beside its destination."""

    def __init__(self, path: str | os.PathLike[str], force: bool) -> None:
        self.asked, self.force = Path(path), force
        self.destination = Path(os.path.realpath(path))
        self.name = ""
        self.file: BinaryIO
        self._lock: int | None = None  # keeps the lock once the file is closed
        self._stat: os.stat_result | None = None

    def create(self) -> None:
        """Make the file, and hold it."""
        self.refuse_existing()
        folder = self.destination.parent
        if not folder.is_dir():
            raise FileError(
                f"The folder {folder} of {self.asked} does not exist.", "Make it first.", filename=str(self.asked)
            )
        remove_leftovers(folder)
        with writing(self.asked):
            while not self._hold():
                pass
            if self.destination.exists():  # what replaces a file may be read by the same people
                os.chmod(self.name, stat.S_IMODE(self.destination.stat().st_mode))

    def _hold(self) -> bool:
        """Whether the file was made, and no other process took it for a leftover before it was locked."""
        self._open("part")
        if _lock(self.file.fileno(), wait=True):
            if os.path.exists(self.name):
                return True
            self.file.close()
            return False
        # Without a lock it would look like a leftover: it gets a name that no leftover has.
        self.close()
        self._open("unlocked")
        return True

    def _open(self, ending: str) -> None:
        start = f".{self.destination.name[:_NAME_CHARACTERS]}.gpusmote-{secrets.token_hex(8)}"
        self.name = str(self.destination.parent / f"{start}.{ending}")
        self.file = open(self.name, "xb", buffering=_BUFFER_BYTES)  # noqa: SIM115 (whole_files closes it)

    def refuse_existing(self) -> None:
        """FileError where something stands that is no file, DestinationExistsError for a file without ``force``."""
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
            self.file.close()  # a network file system may report a failed write only here

    def publish(self) -> None:
        """Take the destination's name, for good."""
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
                f"The file {state}. Look at the disk, then run again.",
                str(self.asked),
                error.errno,
            ) from error

    def take_back(self) -> None:
        """Free the name again where nothing stood; what has replaced a file stays."""
        if not self.force and self._stat is not None:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.lstat(self.destination), self._stat):
                    os.unlink(self.destination)

    def _link(self) -> None:
        # A link fails where the name is taken, which a rename would not.
        try:
            os.link(self.name, self.destination)
        except FileExistsError:
            self.refuse_existing()
            raise
        except OSError:  # a file system without links
            self.refuse_existing()
            os.replace(self.name, self.destination)

    def close(self) -> None:
        """Remove the temporary name, if there is one, and close the file; before the lock goes."""
        if self.name:
            with contextlib.suppress(OSError):
                os.unlink(self.name)
        with contextlib.suppress(OSError, AttributeError):  # a full disk once more; no file yet
            self.file.close()
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.close(self._lock)


def _lock(handle: int, wait: bool) -> bool:
    """Whether the file is now held by this process; False too on file systems that know no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in a folder whose writers are dead: the system has let go of their locks."""
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
        for temporary in reversed(made):  # so that the last is never there without the others
            temporary.take_back()
        raise


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # of a folder that may not be listed; of any on Windows
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)
