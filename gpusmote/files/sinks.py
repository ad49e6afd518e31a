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

__all__ = ["ArrowSink", "CsvSink", "ParquetSink", "Sink", "open_sink"]

_COPY_BYTES = 1 << 20
_DICTIONARY_BYTES = 64 << 10


class Sink(abc.ABC):
    """A table on its way into a file that the caller opened and closes."""

    @abc.abstractmethod
    def write(self, table: Any) -> None:
        """Append a pyarrow Table of the sink's schema."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Write what is still held, and what ends the file."""

    def abandon(self) -> None:
        """Let go of the file that will not be finished."""
        with contextlib.suppress(Exception):  # the disk may be full still, and nobody will read it
            self.finish()


class ParquetSink(Sink):
    """A Parquet file with row groups of ``group_rows`` rows, which is what is held.

    Parameters
    ----------
    file : binary file
    schema : pyarrow.Schema
    group_rows : int
    compression : str
    dictionaries : list of str
        Columns with few values.
    """

    def __init__(self, file: BinaryIO, schema: Any, group_rows: int, compression: str, dictionaries: list[str]) -> None:
        self._writer = pq.ParquetWriter(
            file,
            schema,
            compression=compression,
            use_dictionary=dictionaries,
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            write_page_checksum=True,
        )
        self._schema, self._group_rows = schema, group_rows
        self._held: list[Any] = []
        self._rows = 0

    def write(self, table: Any) -> None:
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


class ArrowSink(Sink):
    """An Arrow IPC file; every table that is written becomes a record batch."""

    def __init__(self, file: BinaryIO, schema: Any, compression: str | None) -> None:
        options = pa.ipc.IpcWriteOptions(compression=compression)
        self._writer = pa.ipc.new_file(file, schema, options=options)

    def write(self, table: Any) -> None:
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
        All texts that can occur; where none of them needs quotes, none gets them.
    """

    def __init__(self, file: BinaryIO, schema: Any, form: Form, labels: list[str]) -> None:
        self._out: Any = pa.CompressedOutputStream(_KeptOpen(file), form.compression) if form.compression else file
        self.separator = form.separator
        marks = f'"\r\n{form.separator}'
        quoted = any(mark in label for label in labels for mark in marks)
        self._options = pa.csv.WriteOptions(
            include_header=False, delimiter=form.separator, quoting_style="needed" if quoted else "none"
        )
        self._schema = schema
        self._line_end = b"\n"
        self._started = False

    def copy(self, source: CsvSource, tell: Callable[[int], None]) -> None:
        """The text of another CSV file, byte for byte; what is written afterwards ends its lines as it does."""
        self._started = True
        self._line_end = source.line_end()
        last = b""
        with contextlib.closing(source.raw()) as stream:
            while block := stream.read(_COPY_BYTES):
                self._out.write(block)
                last = block
                tell(source.position() or 0)
        if not last.endswith((b"\n", b"\r")):
            self._out.write(self._line_end)

    def write(self, table: Any) -> None:
        self._start()
        buffer = io.BytesIO()
        pa.csv.write_csv(table, buffer, self._options)
        text = buffer.getvalue()
        self._out.write(text if self._line_end == b"\n" else _with_line_ends(text, self._line_end))

    def finish(self) -> None:
        self._start()
        if isinstance(self._out, pa.NativeFile):  # a compressor, with a rest to write
            self._out.close()

    def _start(self) -> None:
        if not self._started:
            self._started = True
            header = io.StringIO()
            csv.writer(header, delimiter=self.separator, lineterminator="\n").writerow(self._schema.names)
            self._out.write(header.getvalue().encode())


class _KeptOpen(io.BufferedIOBase):
    """The caller's file, which the end of a compressed stream does not close."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)


def _with_line_ends(text: bytes, end: bytes) -> bytes:
    """CSV text with other line ends; those in quotes belong to labels and stay."""
    pieces = text.split(b'"')  # every second one is in quotes
    pieces[::2] = [piece.replace(b"\n", end) for piece in pieces[::2]]
    return b'"'.join(pieces)


class _PlainSink(Sink):
    """Another sink, whose form does not know all types of the tables.

    Parameters
    ----------
    sink : Sink
    schema : pyarrow.Schema
        What tables are cast to.
    """

    def __init__(self, sink: Sink, schema: Any) -> None:
        self._sink, self._schema = sink, schema

    def write(self, table: Any) -> None:
        self._sink.write(table.cast(self._schema))

    def finish(self) -> None:
        self._sink.finish()


def open_sink(file: BinaryIO, form: Form, schema: Any, group_rows: int, labels: list[str], like: Source) -> Sink:
    """The sink of a form; Parquet keeps the compression of a Parquet source."""
    if form.kind == "arrow":
        return ArrowSink(file, schema, form.compression)
    plain = pa.schema([field.with_type(_plain(field.type, form)) for field in schema], schema.metadata)
    sink: Sink
    if form.kind == "csv":
        sink = CsvSink(file, plain, form, labels)
    else:
        compression = like.compression() if isinstance(like, ParquetSource) else "snappy"
        sink = ParquetSink(file, plain, group_rows, compression, _with_few_values(schema, like))
    return sink if plain.equals(schema) else _PlainSink(sink, plain)


def _plain(kind: Any, form: Form) -> Any:
    """A type that the form can hold: polars' text in no CSV file, and as categories in no Parquet file either."""
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, PLAIN.get(str(kind.value_type), kind.value_type), kind.ordered)
    return PLAIN.get(str(kind), kind) if form.kind == "csv" else kind


def _with_few_values(schema: Any, like: Source) -> list[str]:
    """Columns that a dictionary makes smaller; for measurements it takes several times their memory, and time."""
    floats = {field.name for field in schema if pa.types.is_floating(field.type)}
    if isinstance(like, ParquetSource) and schema is like.schema:
        floats -= like.with_few_values()
    return [name for name in schema.names if name not in floats]
