"""Tables in files, written batch by batch."""

from __future__ import annotations

import abc
import contextlib
import csv
import io
from collections.abc import Callable
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from gpusmote.files.csv_source import CsvSource
from gpusmote.files.formats import Form
from gpusmote.files.labels import PLAIN
from gpusmote.files.sources import ParquetSource, Source

__all__ = ["CsvSink", "Sink", "open_sink"]

_COPY_BYTES = 1 << 20
_DICTIONARY_BYTES = 64 << 10


class Sink(abc.ABC):
    """A table that is written to a file, which the caller opened and closes.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the file; tables are cast to it.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    def write(self, table: Any) -> None:
        """Append a pyarrow Table."""
        self._write(table if table.schema == self._schema else table.cast(self._schema))

    @abc.abstractmethod
    def _write(self, table: Any) -> None:
        """Append a pyarrow Table of the sink's schema."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Write what is still held, and the end of the file."""

    def abandon(self) -> None:
        """Release the file, which will not be finished."""
        with contextlib.suppress(Exception):  # the disk may still be full, and the file will not be read
            self.finish()


class _ParquetSink(Sink):
    """A Parquet file; the rows of one row group are held."""

    def __init__(self, file: BinaryIO, schema: Any, group_rows: int, compression: str, dictionaries: list[str]) -> None:
        super().__init__(schema)
        self._writer = pq.ParquetWriter(
            file,
            schema,
            compression=compression,
            use_dictionary=dictionaries,
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            write_page_checksum=True,
        )
        self._group_rows = group_rows
        self._held: list[Any] = []
        self._rows = 0

    def _write(self, table: Any) -> None:
        start = 0
        while start < len(table):
            part = table.slice(start, self._group_rows - self._rows)
            self._held.append(part)
            self._rows += len(part)
            start += len(part)
            if self._rows == self._group_rows:
                self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            held, self._held, self._rows = pa.concat_tables(self._held), [], 0
            self._writer.write_table(held, row_group_size=self._group_rows)


class _ArrowSink(Sink):
    """An Arrow IPC file; every table that is written becomes a record batch."""

    def __init__(self, file: BinaryIO, schema: Any, compression: str | None) -> None:
        super().__init__(schema)
        self._writer = pa.ipc.new_file(file, schema, options=pa.ipc.IpcWriteOptions(compression=compression))

    def _write(self, table: Any) -> None:
        self._writer.write_table(table.combine_chunks())

    def finish(self) -> None:
        self._writer.close()


class CsvSink(Sink):
    """A CSV file.

    Parameters
    ----------
    file : binary file
    schema : pyarrow.Schema
    form : Form
    labels : list of str
        All labels that can occur; if none of them needs quotes, none gets them.
    """

    def __init__(self, file: BinaryIO, schema: Any, form: Form, labels: list[str]) -> None:
        super().__init__(schema)
        self._out: Any = pa.CompressedOutputStream(_KeptOpen(file), form.compression) if form.compression else file
        self.separator = form.separator
        quoted = any(mark in label for label in labels for mark in f'"\r\n{form.separator}')
        self._options = pa.csv.WriteOptions(
            include_header=False, delimiter=form.separator, quoting_style="needed" if quoted else "none"
        )
        self._line_end = b"\n"
        self._started = False

    def copy(self, source: CsvSource, tell: Callable[[int], None]) -> None:
        """Copy the text of a CSV file, byte for byte; rows that are written later get its line ends."""
        self._started = True
        self._line_end = source.line_end()
        last = b""
        with contextlib.closing(source.raw()) as stream:
            while block := stream.read(_COPY_BYTES):
                self._out.write(block)
                last = block
                tell(source.position())
        if not last.endswith((b"\n", b"\r")):
            self._out.write(self._line_end)

    def _write(self, table: Any) -> None:
        self._start()
        buffer = io.BytesIO()
        pa.csv.write_csv(table, buffer, self._options)
        text = buffer.getvalue()
        if self._line_end != b"\n":
            pieces = text.split(b'"')  # every second one is in quotes: line ends in labels are kept
            pieces[::2] = [piece.replace(b"\n", self._line_end) for piece in pieces[::2]]
            text = b'"'.join(pieces)
        self._out.write(text)

    def finish(self) -> None:
        self._start()
        if isinstance(self._out, pa.NativeFile):  # a compressor, which still holds some bytes
            self._out.close()

    def _start(self) -> None:
        if not self._started:
            self._started = True
            header = io.StringIO()
            csv.writer(header, delimiter=self.separator, lineterminator="\n").writerow(self._schema.names)
            self._out.write(header.getvalue().encode())


class _KeptOpen(io.BufferedIOBase):
    """The caller's file, which closing a compressed stream does not close."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)


def open_sink(file: BinaryIO, form: Form, schema: Any, group_rows: int, labels: list[str], source: Source) -> Sink:
    """The sink for a format; Parquet keeps the compression of a Parquet source."""
    if form.kind == "arrow":
        return _ArrowSink(file, schema, form.compression)
    plain = pa.schema([field.with_type(_plain(field.type, form)) for field in schema], schema.metadata)
    if form.kind == "csv":
        return CsvSink(file, plain, form, labels)
    # For columns of measurements, dictionaries take several times their memory and make nothing smaller.
    dictionaries = [field.name for field in schema if not pa.types.is_floating(field.type)]
    compression = source.compression() if isinstance(source, ParquetSource) else "snappy"
    return _ParquetSink(file, plain, group_rows, compression, dictionaries)


def _plain(kind: Any, form: Form) -> Any:
    """A type that the format can hold: CSV has no text views of polars, and Parquet has none as categories."""
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, PLAIN.get(str(kind.value_type), kind.value_type), kind.ordered)
    return PLAIN.get(str(kind), kind) if form.kind == "csv" else kind
