"""Tables in files, read batch by batch, as often as needed."""

from __future__ import annotations

import abc
import functools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gpusmote.errors import FileError
from gpusmote.files.forms import Form
from gpusmote.files.problems import reading
from gpusmote.files.traffic import row_bytes

__all__ = ["ArrowSource", "ParquetSource", "Source"]

_COLUMN_BUFFER = 256 << 10  # a column of a row group is read in pieces of this size, not as a whole
_PAGE = 1 << 20  # what those who write Parquet cut a column into


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
    def held_at_once(self, group: int) -> int:
        """Bytes that reading holds beside the batch it gives, where row groups of ``group`` bytes are written."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def refuse_change(self) -> None:
        """FileError if the file is no longer the one that was opened."""
        if self._look() != self._state:
            raise FileError(
                f"{self.path} was changed while it was read.", "Run again once nobody writes to it.", str(self.path)
            )

    def _look(self) -> tuple[int, int, int]:
        with reading(self.path):
            found = os.stat(self.path)
        name = str(self.path)
        if stat.S_ISDIR(found.st_mode):
            raise FileError(f"{name} is a folder.", "Name a file; of a folder of files, one after the other.", name)
        if not stat.S_ISREG(found.st_mode):
            raise FileError(f"{name} is no ordinary file, and it is read more than once.", "Write it to one.", name)
        if not found.st_size:
            raise FileError(f"{name} is empty.", "Look at what should have written it.", name)
        return found.st_size, found.st_mtime_ns, found.st_ino


class ParquetSource(Source):
    """A Parquet file."""

    def __init__(self, path: Path, form: Form) -> None:
        super().__init__(path, form)
        with reading(path):
            self._opened = pa.OSFile(os.fsencode(path))  # a name need not be UTF-8
            self.file = pq.ParquetFile(self._opened, pre_buffer=False, buffer_size=_COLUMN_BUFFER)
            self.schema = self.file.schema_arrow

    def batches(self, columns: list[str] | None, rows: int) -> Iterator[Any]:
        # Decoded by one thread: each further one would keep memory of its own, and writing takes far longer.
        with reading(self.path):
            yield from self.file.iter_batches(batch_size=rows, columns=columns, use_threads=False)

    def close(self) -> None:
        self.file.close(force=True)
        self._opened.close()

    def held_at_once(self, group: int) -> int:
        # Of each column a page as it is in the file and as it is in memory, and the bytes that are read ahead.
        return sum(_pages(chunk.total_compressed_size, chunk.total_uncompressed_size) for chunk in self._chunks)

    @functools.cached_property
    def _chunks(self) -> list[Any]:
        """What is known about the columns of the largest row group."""
        metadata = self.file.metadata
        groups = map(metadata.row_group, range(metadata.num_row_groups))
        largest = max(groups, key=lambda group: group.total_byte_size, default=None)
        return [] if largest is None else [largest.column(j) for j in range(largest.num_columns)]

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
        self._rows = self._largest = 0  # of all batches and of the largest, as far as they have been seen

    def batches(self, columns: list[str] | None, rows: int) -> Iterator[Any]:
        with reading(self.path):
            chosen = None if columns is None else [self.schema.get_field_index(name) for name in columns]
            options = pa.ipc.IpcReadOptions(included_fields=chosen)
            file = pa.ipc.open_file(self._file, options=options)
            self._rows = 0
            for number in range(file.num_record_batches):
                batch = file.get_batch(number)
                self._rows += batch.num_rows
                self._largest = max(self._largest, batch.num_rows)
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)
                del batch  # before the next is read

    def held_at_once(self, group: int) -> int:
        row = row_bytes(self.schema)
        compressed = self.size < 0.9 * self._rows * row  # then a batch is there twice
        return self._largest * row * (1 + compressed)

    def close(self) -> None:
        self._file.close()
