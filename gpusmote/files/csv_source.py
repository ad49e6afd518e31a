"""CSV files: converted once, block by block, to a temporary table of numbers."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv

from gpusmote.errors import FileError
from gpusmote.files.formats import Form
from gpusmote.files.labels import FileTarget
from gpusmote.files.sources import Source
from gpusmote.files.spelling import FeatureParser
from gpusmote.io_errors import reading, writing

__all__ = ["CsvSource"]

_ROW = re.compile(r"Row #(\d+)")
_COLUMN = re.compile(r"In CSV column #(\d+)")
_LINE_END = re.compile(rb'(?:[^"\r\n]|"[^"]*")*(\r\n|\r|\n)')
_LOOK_BYTES = 64 << 10
_SEPARATORS = (",", ";", "\t", "|")


class CsvSource(Source):
    """A CSV or TSV file with a header, in UTF-8.

    It is read with :meth:`convert` first, which settles the types of all columns and keeps the features as numbers in
    a temporary file without a name, so that nothing is left of it whatever ends the process. Then :meth:`batches` reads
    that file as often as needed.
    """

    def __init__(self, path: Path, form: Form, block_bytes: int) -> None:
        super().__init__(path, form)
        self._block_bytes = block_bytes
        self._running: Any = None
        self._converted: BinaryIO | None = None
        self._labels: FileTarget
        self._refuse_other_separators()
        with contextlib.closing(self._open({})) as reader:
            try:
                self.schema = pa.schema([(name, pa.string()) for name in reader.schema.names])
            except UnicodeDecodeError as error:
                raise self._not_utf8("its header") from error

    def convert(self, target: str, output: Path | None) -> Iterator[Any]:
        """Read the file, keep its features in a temporary file, and yield the text of the target block by block.

        Parameters
        ----------
        target : str
            The column of the labels.
        output : Path or None
            In whose folder the temporary file is made. None: in the system's folder for such files.

        Raises
        ------
        FileError
            If the file is not CSV, or the temporary file cannot be written.
        InputTypeError, InputError
            At the end, if a feature is a code rather than a number, or holds an integer beyond 2**53.
        """
        names = [name for name in self.schema.names if name != target]
        parser = FeatureParser(names, self.form.separator)
        where = output or tempfile.gettempdir()
        with writing(where):
            self._converted = tempfile.TemporaryFile(dir=output and output.parent, prefix=".gpusmote-")  # noqa: SIM115 (see close)
            writer = pa.ipc.new_file(pa.PythonFile(self._converted, "w"), parser.stored)
        for batch in self._text():
            table = parser.parse(batch.select(names))
            with writing(where):
                writer.write_batch(table)
            del table
            yield batch.column(batch.schema.get_field_index(target))
            del batch  # before the next is read
        with writing(where):
            writer.close()
            self._converted.flush()
        features = iter(parser.finish(self.path))
        self.schema = pa.schema([field if field.name == target else next(features) for field in self.schema])

    def take_labels(self, target: str, labels: FileTarget) -> None:
        """The target that was made of what :meth:`convert` gave; it settles the type of its column."""
        self._labels = labels
        at = self.schema.get_field_index(target)
        self.schema = self.schema.set(at, pa.field(target, labels.labels.type))

    def batches(self, columns: list[str] | None, rows: int) -> Iterator[Any]:
        names = self.schema.names if columns is None else columns
        schema = pa.schema([self.schema.field(name) for name in names])
        done = 0
        with reading(self.path):
            file = pa.ipc.open_file(pa.PythonFile(self._converted, "r"))
            for number in range(file.num_record_batches):
                batch = file.get_batch(number)
                for start in range(0, batch.num_rows, rows):
                    part = batch.slice(start, rows)
                    yield pa.RecordBatch.from_arrays(
                        [self._column(part, field, done) for field in schema], schema=schema
                    )
                    done += part.num_rows
                    del part
                del batch  # before the next is read

    def _column(self, stored: Any, field: Any, done: int) -> Any:
        at = stored.schema.get_field_index(field.name)
        if at < 0:
            return self._labels.column(done, done + stored.num_rows)
        return stored.column(at).cast(field.type)

    def position(self) -> int | None:
        """How many bytes of the file have been read, where it is being read."""
        return None if self._running is None or self._running.closed else int(self._running.tell())

    def held_at_once(self) -> int:
        return 0  # all of it is read in blocks

    def close(self) -> None:
        for file in (self._running, self._converted):
            if file is not None:
                with contextlib.suppress(OSError):  # the disk may be full still
                    file.close()

    def raw(self) -> Any:
        """The text of the file, decompressed, as a stream."""
        with reading(self.path):
            self._running = pa.OSFile(os.fsencode(self.path))
            compression = self.form.compression
            return pa.CompressedInputStream(self._running, compression) if compression else self._running

    def line_end(self) -> bytes:
        """What ends the header's line, outside quotes."""
        with reading(self.path), contextlib.closing(self.raw()) as stream:
            found = _LINE_END.match(stream.read(self._block_bytes))
        return found[1] if found else b"\n"

    def _text(self) -> Iterator[Any]:
        """Record batches of all columns as text."""
        types = dict.fromkeys(self.schema.names, pa.string())
        with contextlib.closing(self._open(types)) as reader:
            while True:
                with self._telling():
                    batch = next(reader, None)
                if batch is None:
                    return
                if batch.num_rows:
                    yield batch
                del batch  # before the next is read

    def _open(self, types: dict[str, Any]) -> Any:
        stream = self.raw()
        with self._telling():  # opening reads the first block
            return pa.csv.open_csv(
                stream,
                pa.csv.ReadOptions(use_threads=False, block_size=self._block_bytes),
                pa.csv.ParseOptions(newlines_in_values=True, delimiter=self.form.separator),
                pa.csv.ConvertOptions(column_types=types),
            )

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """What pyarrow says of the text, told as a FileError."""
        try:
            with reading(self.path):
                yield
        except FileError as error:
            cause = error.__cause__
            raise (self._described(cause) if isinstance(cause, pa.ArrowInvalid) else error) from cause

    def _described(self, error: Exception) -> FileError:
        """With the row's number, which pyarrow tells because it reads with one thread."""
        text = str(error).splitlines()[0]
        name = str(self.path)
        if "Empty CSV" in text:
            return FileError(f"{name} holds a header at most, no rows.", "Look at what should have written it.", name)
        if "straddles two block boundaries" in text or "straddling object" in text:
            return FileError(
                f"{name} has a row of more than {self._block_bytes:,} bytes, or a quote that is never closed.",
                "Look at its quotes, and whether it is text at all; a larger memory_limit allows longer rows.",
                name,
            )
        column = _COLUMN.search(text)
        if "invalid UTF8" in text and column:
            return self._not_utf8(f"column {self.schema.names[int(column[1])]!r}")
        row = _ROW.search(text)
        where = f", line {row[1]}" if row else ""
        what = _ROW.sub("", text.replace("CSV parse error: ", "")).lstrip(": ")
        return FileError(f"{name}{where}: {what}.", "Each row must have as many values as the header has names.", name)

    def _not_utf8(self, where: str) -> FileError:
        name = str(self.path)
        return FileError(
            f"{name} is not encoded in UTF-8: {where} holds other bytes.",
            f"Convert it, for example: iconv -f LATIN1 -t UTF-8 {self.path.name} > converted.csv",
            name,
        )

    def _refuse_other_separators(self) -> None:
        """FileError for what is no text, or separates its values by another character."""
        name, own = str(self.path), self.form.separator
        with reading(self.path), contextlib.closing(self.raw()) as stream:
            text = stream.read(_LOOK_BYTES)
        if b"\0" in text:
            raise FileError(
                f"{name} is no CSV file: it holds bytes that text does not.",
                "Look at its ending; text must be UTF-8.",
                name,
            )
        header = next(iter(text.splitlines()), b"")
        others = [mark for mark in _SEPARATORS if mark.encode() in header]
        if others and own not in others:
            found = others[0]
            raise FileError(
                f"{name} separates its columns by {found!r}, not by {'commas' if own == ',' else 'tabs'}.",
                f"pandas can convert it: pandas.read_csv({name!r}, sep={found!r}).to_csv('commas.csv', index=False); "
                'with decimal="," where numbers have decimal commas.',
                name,
            )
