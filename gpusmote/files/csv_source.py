"""CSV files: converted once, block by block, to a temporary table of numbers."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv

from gpusmote.errors import FileError
from gpusmote.files.formats import Form
from gpusmote.files.labels import FileTarget
from gpusmote.files.sources import Source, whole_batches
from gpusmote.files.spelling import FeatureParser, SpelledLabels
from gpusmote.io_errors import reading, writing

__all__ = ["CsvSource"]

_ROW = re.compile(r"Row #(\d+): ")
_COLUMN = re.compile(r"In CSV column #(\d+)")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_SEPARATORS = (",", ";", "\t", "|")


class CsvSource(Source):
    """A CSV or TSV file with a header, in UTF-8.

    :meth:`convert` reads it first, finds the types of all columns, and writes the features as numbers to a temporary
    file without a name, of which nothing remains when the process ends for any reason. Then :meth:`batches` reads that
    file as often as needed.
    """

    def __init__(self, path: Path, form: Form, block_bytes: int) -> None:
        super().__init__(path, form)
        self._block_bytes = block_bytes
        self._running: Any = None
        self._converted: BinaryIO | None = None
        self._refuse_other_separators()
        with contextlib.closing(self._open({})) as reader, self._explained():
            self.schema = pa.schema([(name, pa.string()) for name in reader.schema.names])

    def convert(self, target: str, output: Path | None, tell: Callable[[int], None]) -> FileTarget:
        """Read the file, write its features to a temporary file, and return the target.

        Parameters
        ----------
        target : str
            The column of the labels.
        output : Path or None
            The temporary file is made in the folder of this file. None: in the system's folder for temporary files.
        tell : callable
            Called after each block with the number of bytes that have been read.

        Raises
        ------
        FileError
            If the file is not CSV, or the temporary file cannot be written.
        InputTypeError, InputError
            If a feature contains codes or an integer beyond 2**53, or a label is not a class.
        """
        names = [name for name in self.schema.names if name != target]
        parser, labels = FeatureParser(names), SpelledLabels(target)
        where = output or tempfile.gettempdir()
        with writing(where):
            self._converted = tempfile.TemporaryFile(dir=output and output.parent, prefix=".gpusmote-")  # noqa: SIM115 (see close)
            writer = pa.ipc.new_file(pa.PythonFile(self._converted, "w"), parser.stored)
        for batch in self._text():
            table = parser.parse(batch.select(names))
            with writing(where):
                writer.write_batch(table)
            labels.add(batch.column(batch.schema.get_field_index(target)))
            del table, batch  # before the next is read
            pa.default_memory_pool().release_unused()
            tell(self.position())
        with writing(where):
            writer.close()
            self._converted.flush()
        found = labels.finish()
        features, kind = iter(parser.finish(self.path)), found.labels.type
        fields = [pa.field(target, kind) if name == target else next(features) for name in self.schema.names]
        self.schema = pa.schema(fields)
        return found

    def batches(self, columns: list[str], rows: int) -> Iterator[Any]:
        schema = pa.schema([self.schema.field(name) for name in columns])
        with reading(self.path):
            for batch in whole_batches(pa.PythonFile(self._converted, "r"), columns):
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows).cast(schema)
                del batch  # before the next is read

    def position(self) -> int:
        """Number of bytes of the file that have been read; all if it is not being read."""
        return self.size if self._running.closed else min(int(self._running.tell()), self.size)

    def held_at_once(self) -> int:
        return 0  # all of it is read in blocks

    def close(self) -> None:
        for file in (self._running, self._converted):
            if file is not None:
                with contextlib.suppress(OSError):  # the disk may still be full
                    file.close()

    def raw(self) -> Any:
        """The text of the file, decompressed, as a stream."""
        with reading(self.path):
            self._running = pa.OSFile(os.fsencode(self.path))
            compression = self.form.compression
            return pa.CompressedInputStream(self._running, compression) if compression else self._running

    def head(self) -> bytes:
        """The first block of the text."""
        with reading(self.path), contextlib.closing(self.raw()) as stream:
            found: bytes = stream.read(self._block_bytes)
        return found

    def line_end(self) -> bytes:
        """The characters that end the first line."""
        found = _LINE_END.search(self.head())
        return found[0] if found else b"\n"

    def _text(self) -> Iterator[Any]:
        """Record batches of all columns as text."""
        types = dict.fromkeys(self.schema.names, pa.string())
        with contextlib.closing(self._open(types)) as reader:
            while True:
                with self._explained():
                    batch = next(reader, None)
                if batch is None:
                    return
                if batch.num_rows:
                    yield batch
                del batch  # before the next is read

    def _open(self, types: dict[str, Any]) -> Any:
        stream = self.raw()
        with self._explained():  # opening reads the first block
            return pa.csv.open_csv(
                stream,
                pa.csv.ReadOptions(use_threads=False, block_size=self._block_bytes),
                pa.csv.ParseOptions(newlines_in_values=True, delimiter=self.form.separator),
                pa.csv.ConvertOptions(column_types=types),
            )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Translate what pyarrow says about the text into a FileError with the row or column and a hint."""
        try:
            with reading(self.path):
                yield
        except FileError as error:
            cause = error.__cause__
            if not isinstance(cause, (pa.ArrowInvalid, UnicodeDecodeError)):
                raise
            what, hint = self._explanation(cause)
            raise FileError(f"{self.path}{what}.", hint, str(self.path)) from cause

    def _explanation(self, error: Exception) -> tuple[str, str]:
        text = str(error).splitlines()[0]
        column = _COLUMN.search(text)
        if isinstance(error, UnicodeDecodeError) or (column and "invalid UTF8" in text):
            where = f"column {self.schema.names[int(column[1])]!r}" if column else "its header"
            return (
                f" is not encoded in UTF-8: {where} contains other bytes",
                f"Convert it, for example: iconv -f LATIN1 -t UTF-8 {self.path.name} > converted.csv",
            )
        if "Empty CSV" in text:
            return " contains at most a header, no rows", "Look at the program that wrote it."
        if "straddl" in text:  # a value that is larger than two blocks
            return (
                f" has a row of more than {self._block_bytes:,} bytes, or a quote that is never closed",
                "Look at its quotes, and whether it is text; a larger memory_limit allows longer rows.",
            )
        row = _ROW.search(text)  # pyarrow knows the row because it reads with one thread
        where = f", line {row[1]}" if row else ""
        text = _ROW.sub("", text).removeprefix("CSV parse error: ")
        return f"{where}: {text}", "Each row must have as many values as the header has names."

    def _refuse_other_separators(self) -> None:
        """FileError if the file is not text, or its header has another separator than the extension says."""
        text, own = self.head(), self.form.separator
        if b"\0" in text:
            raise FileError(f"{self.path} is no CSV file: it contains zero bytes.", "Check its name.", str(self.path))
        header = text.split(b"\n", 1)[0]
        others = [mark for mark in _SEPARATORS if mark.encode() in header]
        if others and own not in others:
            name = str(self.path)
            raise FileError(
                f"{name} separates its columns by {others[0]!r}, not by {'commas' if own == ',' else 'tabs'}.",
                f"pandas can convert it: pandas.read_csv({name!r}, sep={others[0]!r}).to_csv('commas.csv', "
                'index=False); with decimal="," if numbers have decimal commas.',
                name,
            )
