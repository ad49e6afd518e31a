"""Tables in files, read batch by batch, as often as needed."""

from __future__ import annotations

import abc
import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gpusmote.errors import FileError
from gpusmote.files.formats import Form
from gpusmote.io_errors import reading

__all__ = ["ArrowSource", "ParquetSource", "Source", "row_bytes"]

_COLUMN_BUFFER = 256 << 10  # a column of a row group is read in pieces of this size, not as a whole
_PAGE = 1 << 20  # what those who write Parquet cut a column into
_TEXT_BYTES = 32  # what a value of a type without a fixed width is taken to need


class Source(abc.ABC):
    """A table in a file.

    Parameters
    ----------
    path : Path
    form : Form

    Attributes
    ----------
    schema : pyarrow.Schema
        Of a CSV file only once it has been converted.
    size : int
        Bytes of the file.
    """

    schema: Any

    def __init__(self, path: Path, form: Form) -> None:
        self.path, self.form = path, form
        self._state = self._look()
        self.size = self._state[0]

    @abc.abstractmethod
    def batches(self, columns: list[str] | None, rows: int) -> Iterator[Any]:
        """Record batches of these columns (None: all) in order, of about ``rows`` rows at most."""

    @abc.abstractmethod
    def held_at_once(self) -> int:
        """Bytes that reading holds because the file is cut that way, whatever the size of batches."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def refuse_change(self) -> None:
        """FileError if the file is no longer the one that was opened."""
        with contextlib.suppress(FileError):  # it is gone, or something else has its name
            if self._look() == self._state:
                return
        raise FileError(
            f"{self.path} was changed while it was read.", "Run again once nobody writes to it.", str(self.path)
        )

    def _look(self) -> tuple[int, ...]:
        """Size, times and place of the file; the time of a change (ctime) cannot be set back, that of a write can."""
        with reading(self.path):
            found = os.stat(self.path)
        name = str(self.path)
        if stat.S_ISDIR(found.st_mode):
            raise FileError(f"{name} is a folder.", "Name a file; of a folder of files, one after the other.", name)
        if not stat.S_ISREG(found.st_mode):
            raise FileError(f"{name} is no ordinary file, and it is read more than once.", "Write it to one.", name)
        if not found.st_size:
            raise FileError(f"{name} is empty.", "Look at what should have written it.", name)
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


class ParquetSource(Source):
    """A Parquet file."""

    def __init__(self, path: Path, form: Form) -> None:
        super().__init__(path, form)
        with reading(path):
            self._opened = pa.OSFile(os.fsencode(path))  # a name need not be UTF-8
            self.file = pq.ParquetFile(
                self._opened, pre_buffer=False, buffer_size=_COLUMN_BUFFER, page_checksum_verification=True
            )
            self.schema = self.file.schema_arrow
            self._chunks = self._largest_group()

    def batches(self, columns: list[str] | None, rows: int) -> Iterator[Any]:
        # Decoded by one thread: each further one would keep memory of its own, and writing takes far longer.
        left = self.file.metadata.num_rows
        with reading(self.path):
            for batch in self.file.iter_batches(batch_size=rows, columns=columns, use_threads=False):
                batch.validate(full=True)  # such as text that is not UTF-8
                left -= batch.num_rows
                yield batch
                del batch  # before the next is read
        if left:  # pyarrow passes over pages of a kind that it does not know
            name = str(self.path)
            raise FileError(
                f"{name} is damaged: its pages do not hold the {self.file.metadata.num_rows:,} rows that it has.",
                "Write it again.",
                name,
            )

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a file that was only read, nothing is lost
            self.file.close(force=True)
            self._opened.close()

    def held_at_once(self) -> int:
        # Of each column a page as it is in the file and as it is in memory, and the bytes that are read ahead.
        return sum(_pages(chunk.total_compressed_size, chunk.total_uncompressed_size) for chunk in self._chunks)

    def _largest_group(self) -> list[Any]:
        """Metadata of the columns of the largest row group; none for a file without rows.

        pyarrow ends the process when it is asked for metadata that are damaged or encrypted. Reading a batch of all
        columns raises an error instead, so that comes first.
        """
        metadata = self.file.metadata
        sizes = [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
        if not sizes:
            return []
        number = sizes.index(max(sizes))
        if next(self.file.iter_batches(batch_size=1, row_groups=[number], use_threads=False), None) is None:
            return []
        group = metadata.row_group(number)
        return [group.column(j) for j in range(group.num_columns)]

    def with_few_values(self) -> set[str]:
        """Paths of the columns of floats that take less than half of what they would one by one."""
        width = {"FLOAT": 4, "DOUBLE": 8}
        return {
            chunk.path_in_schema
            for chunk in self._chunks
            if 2 * chunk.total_uncompressed_size < chunk.num_values * width.get(chunk.physical_type, 0)
        }

    def compression(self) -> str:
        """The codec of the first column, as the writer names it."""
        if not self._chunks:
            return "snappy"
        codec = str(self._chunks[0].compression).lower()
        return {"uncompressed": "none", "lz4_raw": "lz4"}.get(codec, codec)


def _pages(compressed: int, plain: int) -> int:
    return min(compressed, _COLUMN_BUFFER) + min(compressed, _PAGE) + min(plain, _PAGE)


class ArrowSource(Source):
    """An Arrow IPC file, which Feather is too; each of its record batches is held as a whole."""

    def __init__(self, path: Path, form: Form) -> None:
        super().__init__(path, form)
        with reading(path):
            self._file = pa.OSFile(os.fsencode(path))  # not mapped: what is mapped counts as the process's memory
            self.schema = pa.ipc.open_file(self._file).schema
            self._positions = {name: number for number, name in enumerate(self.schema.names)}
        self._rows = self._largest = 0  # of all batches and of the largest, as far as they have been seen

    def batches(self, columns: list[str] | None, rows: int) -> Iterator[Any]:
        with reading(self.path):
            chosen = None if columns is None else [self._positions[name] for name in columns]
            options = pa.ipc.IpcReadOptions(included_fields=chosen)
            file = pa.ipc.open_file(self._file, options=options)
            self._rows = 0
            for number in range(file.num_record_batches):
                batch = file.get_batch(number)
                batch.validate(full=True)  # damaged positions of texts or categories would be read out of bounds
                self._rows += batch.num_rows
                self._largest = max(self._largest, batch.num_rows)
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)
                del batch  # before the next is read

    def held_at_once(self) -> int:
        row = row_bytes(self.schema)
        compressed = self.size < 0.9 * self._rows * row  # then a batch is there twice
        return self._largest * row * (1 + compressed)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a file that was only read, nothing is lost
            self._file.close()


def row_bytes(schema: Any) -> int:
    """Bytes of a row in memory, about."""
    return max(1, sum(_width(field.type) for field in schema))


def _width(kind: Any) -> int:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return _TEXT_BYTES
