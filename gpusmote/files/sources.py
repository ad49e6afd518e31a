"""Tables in files, read batch by batch, as often as needed."""

from __future__ import annotations

import abc
import contextlib
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gpusmote.errors import FileError, InputError
from gpusmote.files.formats import Form
from gpusmote.io_errors import reading

__all__ = ["ArrowSource", "ParquetSource", "Source", "row_bytes", "whole_batches"]

_COLUMN_BUFFER = 256 << 10  # a column of a row group is read in pieces of this size, not as a whole
_PAGE = 1 << 20  # the usual size of a page of a column
_TEXT_BYTES = 32  # assumed size of a value of a type without a fixed width


class Source(abc.ABC):
    """A table in a file, or in the files of a folder.

    Parameters
    ----------
    path : Path
    form : Form

    Attributes
    ----------
    schema : pyarrow.Schema
        Of a CSV file only after it has been converted.
    files : list of Path
        The files that are read.
    size : int
        Bytes of the files.
    """

    schema: Any

    def __init__(self, path: Path, form: Form) -> None:
        self.path, self.form = path, form
        self.files = self._list()
        self._state = self._look()
        self.size = sum(size for size, *_ in self._state)

    @abc.abstractmethod
    def batches(self, columns: list[str], rows: int) -> Iterator[Any]:
        """Record batches of these columns, which are in the order of the schema, of about ``rows`` rows at most."""

    @abc.abstractmethod
    def held_at_once(self) -> int:
        """Bytes that reading holds for any size of batches, because of the structure of the file."""

    def close(self) -> None:  # noqa: B027 (nothing to do for a source that keeps no file open)
        """Close the file."""

    def refuse_change(self) -> None:
        """FileError if the files are no longer those that were opened."""
        with contextlib.suppress(FileError):  # it was removed, or is a folder now
            if self._list() == self.files and self._look() == self._state:
                return
        raise FileError(
            f"{self.path} was changed while it was read.",
            "Run again when no other program writes to it.",
            str(self.path),
        )

    def _list(self) -> list[Path]:
        return [self.path]

    def _look(self) -> list[tuple[int, ...]]:
        """Size, times and identity of each file; the time of a change (ctime) cannot be set back, unlike mtime."""
        return [_look(path) for path in self.files]


def _look(path: Path) -> tuple[int, ...]:
    with reading(path):
        found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise FileError(f"{path} is a folder.", "Name a file, or a folder of Parquet files.", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise FileError(f"{path} is not a regular file, and it is read more than once.", "Copy it to one.", str(path))
    if not found.st_size:
        raise FileError(f"{path} is empty.", "Look at the program that wrote it.", str(path))
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


class ParquetSource(Source):
    """A Parquet file, or all Parquet files of a folder in the order of their names, which have the same columns."""

    def __init__(self, path: Path, form: Form) -> None:
        super().__init__(path, form)
        self._chunks: list[Any] = []  # metadata of the columns of the largest row group
        largest = -1
        for number, name in enumerate(self.files):
            with _opened(name) as file, reading(name):
                if number == 0:
                    self.schema = file.schema_arrow
                self._refuse_other_schema(name, file.schema_arrow)
                size, chunks = _largest_group(file)
                if size > largest:
                    largest, self._chunks = size, chunks

    def _list(self) -> list[Path]:
        if not os.path.isdir(self.path):
            return [self.path]
        with reading(self.path), os.scandir(self.path) as entries:
            shown = [entry for entry in entries if not entry.name.startswith((".", "_"))]
        folders = sorted(entry.name for entry in shown if entry.is_dir())
        if folders:
            raise FileError(
                f"{self.path} has the subfolder {folders[0]}, which is not read.",
                "Put all Parquet files into one folder, or name the folder that holds them.",
                str(self.path),
            )
        files = sorted(entry.name for entry in shown if entry.name.lower().endswith(".parquet"))
        if not files:
            raise FileError(f"{self.path} is a folder without *.parquet files.", "Name a file.", str(self.path))
        return [self.path / name for name in files]

    def _refuse_other_schema(self, name: Path, schema: Any) -> None:
        """InputError for the first column that differs from those of the first file."""
        ours, theirs = (
            [f"{column!r} ({kind})" for column, kind in zip(found.names, found.types, strict=True)]
            for found in (self.schema, schema)
        )
        for number, (one, other) in enumerate(itertools.zip_longest(ours, theirs, fillvalue="missing"), 1):
            if one != other:
                raise InputError(
                    f"{self.files[0]} and {name} differ: column {number} is {one} in the first and {other} in the "
                    "second.",
                    "All files of a folder must have the same columns, in the same order and of the same types.",
                )

    def batches(self, columns: list[str], rows: int) -> Iterator[Any]:
        for name in self.files:
            with _opened(name) as file, reading(name):
                # Decoded by one thread: each further one would keep memory of its own, and writing takes far longer.
                left = file.metadata.num_rows
                for batch in file.iter_batches(batch_size=rows, columns=columns, use_threads=False):
                    batch.validate(full=True)  # finds, for example, text that is not UTF-8
                    left -= batch.num_rows
                    # "a" also selects the nested column "a.b", so the columns are selected again.
                    yield batch.select(columns)
                    del batch  # before the next is read
                if left:  # pyarrow skips pages of a type that it does not know
                    raise FileError(
                        f"{name} is damaged: its pages do not contain the {file.metadata.num_rows:,} rows that its "
                        "metadata promise.",
                        "Write it again.",
                        str(name),
                    )

    def held_at_once(self) -> int:
        # Of each column a page as it is in the file and as it is in memory, and the bytes that are read ahead.
        return sum(
            min(chunk.total_compressed_size, _COLUMN_BUFFER)
            + min(chunk.total_compressed_size, _PAGE)
            + min(chunk.total_uncompressed_size, _PAGE)
            for chunk in self._chunks
        )

    def compression(self) -> str:
        """The codec of the first column, by the name that the writer uses."""
        if not self._chunks:
            return "snappy"
        codec = str(self._chunks[0].compression).lower()
        return {"uncompressed": "none", "lz4_raw": "lz4"}.get(codec, codec)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with reading(path):
        raw = pa.OSFile(os.fsencode(path))  # a name need not be UTF-8
        file = pq.ParquetFile(raw, pre_buffer=False, buffer_size=_COLUMN_BUFFER, page_checksum_verification=True)
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # the file was only read: nothing can be lost
            file.close(force=True)
            raw.close()


def _largest_group(file: Any) -> tuple[int, list[Any]]:
    """Bytes of the largest row group, and metadata of its columns; 0 and none for a file without rows.

    pyarrow ends the process when it is asked for metadata that are damaged or encrypted. Reading a batch of all
    columns raises an error instead, so that comes first.
    """
    metadata = file.metadata
    sizes = [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
    number = max(range(len(sizes)), key=sizes.__getitem__, default=0)
    if not sizes or next(file.iter_batches(batch_size=1, row_groups=[number], use_threads=False), None) is None:
        return 0, []
    group = metadata.row_group(number)
    return sizes[number], [group.column(j) for j in range(group.num_columns)]


class ArrowSource(Source):
    """An Arrow IPC file, also called Feather; each of its record batches is held as a whole."""

    def __init__(self, path: Path, form: Form) -> None:
        super().__init__(path, form)
        with reading(path):
            self._file = pa.OSFile(os.fsencode(path))  # not mapped: mapped pages count as the process's memory
            self.schema = pa.ipc.open_file(self._file).schema
            list(self.schema.names)  # raises UnicodeDecodeError if the header is damaged
        self._rows = self._largest = 0  # of all batches and of the largest one, once they have been read

    def batches(self, columns: list[str], rows: int) -> Iterator[Any]:
        self._rows = 0
        with reading(self.path):
            for batch in whole_batches(self._file, columns):
                batch.validate(full=True)  # damaged offsets of text or categories would be read out of bounds
                self._rows += batch.num_rows
                self._largest = max(self._largest, batch.num_rows)
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)
                del batch  # before the next is read

    def held_at_once(self) -> int:
        row = row_bytes(self.schema)
        compressed = self.size < 0.9 * self._rows * row  # then a batch is held twice
        return self._largest * row * (1 + compressed)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the file was only read: nothing can be lost
            self._file.close()


def whole_batches(file: Any, columns: list[str]) -> Iterator[Any]:
    """The record batches of an Arrow IPC file, with these columns."""
    position = {name: number for number, name in enumerate(pa.ipc.open_file(file).schema.names)}
    chosen = [position[name] for name in columns]
    opened = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=chosen))
    for number in range(opened.num_record_batches):
        yield opened.get_batch(number)


def row_bytes(schema: Any) -> int:
    """Approximate bytes of a row in memory."""
    return max(1, sum(_width(kind) for kind in schema.types))


def _width(kind: Any) -> int:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return _TEXT_BYTES
