"""CSV files, read batch by batch with the types that reading them whole would give."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from gpusmote.errors import FileError
from gpusmote.files.forms import Form
from gpusmote.files.problems import file_error, reading
from gpusmote.files.sources import Source
from gpusmote.files.traffic import text_block

__all__ = ["CsvSource", "WiderTypeError"]

# The order in which pyarrow tries types when it has the whole file: a column gets the first that all its values fit.
_TYPES = [
    pa.null(), pa.int64(), pa.bool_(), pa.date32(), pa.time32("s"), pa.timestamp("s"), pa.timestamp("ns"),
    pa.float64(), pa.string(), pa.binary(),
]  # fmt: skip
_MISFIT = re.compile(r"In CSV column #(\d+): .*?CSV conversion error to (.+?): (?:invalid value '(.*)'|.*)", re.DOTALL)
_ROW = re.compile(r"Row #(\d+)")
_LOOK_BYTES = 64 << 10
_BLOCKS_AHEAD = 26  # as text, as positions of values, as columns
_PARSED = 1  # of a small file there is no more to read ahead
_COMPRESSION = 5  # what of the text a compressed file is taken to be, in times


class WiderTypeError(Exception):
    """A value does not fit the type that its column had so far; the source has taken a wider one, start again."""


class CsvSource(Source):
    """A CSV file with a header, comma-separated, UTF-8; the types are settled by a scan of all columns.

    pyarrow's streaming reader tells types from the first block alone. When a later value does not fit, the next type
    in pyarrow's order is taken and the scan starts again, so that the types are those of ``pyarrow.csv.read_csv``.
    """

    whole_scan = True
    blank_is_missing = True

    def __init__(self, path: Path, form: Form, block_bytes: int) -> None:
        super().__init__(path, form)
        self._block_bytes = block_bytes
        self._types: dict[str, Any] = {}
        self._running: Any = None
        self._look_at_text()
        with contextlib.closing(self._open(None)) as reader:
            self.schema = reader.schema

    def batches(self, columns: list[str] | None, rows: int) -> Iterator[Any]:
        self._types = self._types or dict(zip(self.schema.names, self.schema.types, strict=True))
        with contextlib.closing(self._open(columns)) as reader:
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
                except pa.ArrowInvalid as error:
                    self._widen(error)
                    raise self._described(error) from error
                except OSError as error:
                    raise file_error(self.path, "read", error) from error
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)
                del batch  # before the next is read

    def position(self) -> int | None:
        return None if self._running is None or self._running.closed else int(self._running.tell())

    def held_at_once(self, group: int) -> int:
        # pyarrow reads far ahead, and keeps it as text, as positions and as columns.
        text = self.size * (_COMPRESSION if self.form.compression else 1)
        return min(_BLOCKS_AHEAD * text_block(group), _PARSED * text)

    def close(self) -> None:
        if self._running is not None:
            self._running.close()

    def raw(self) -> Any:
        """The text of the file, decompressed, as a stream."""
        self._running = pa.OSFile(str(self.path))
        compression = self.form.compression
        return pa.CompressedInputStream(self._running, compression) if compression else self._running

    def _open(self, columns: list[str] | None) -> Any:
        with reading(self.path):
            stream = self.raw()
        try:
            return pa.csv.open_csv(
                stream,
                pa.csv.ReadOptions(use_threads=False, block_size=self._block_bytes),
                pa.csv.ParseOptions(newlines_in_values=True),
                pa.csv.ConvertOptions(column_types=self._types, include_columns=columns or []),
            )
        except pa.ArrowInvalid as error:  # opening reads the first block
            self._widen(error)
            raise self._described(error) from error
        except OSError as error:
            raise file_error(self.path, "read", error) from error

    def _widen(self, error: Exception) -> None:
        """Raise WiderTypeError if the error is about a value that a wider type could hold."""
        found = _MISFIT.match(str(error))
        if found is None or not self._types:
            return
        name, value = self.schema.names[int(found[1])], found[3]
        kind = self._types[name]
        later = _TYPES[_TYPES.index(kind) + 1 :] if kind in _TYPES else []
        if value is not None and pa.float64() in later and _is_number(value) and pa.int64() not in later:
            later = later[later.index(pa.float64()) :]  # a number is no bool, date or time: no need to try them
        if later:
            self._types[name] = later[0]
            self.schema = pa.schema(list(self._types.items()))
            raise WiderTypeError(name)

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
        row = _ROW.search(text)
        where = f", line {row[1]}" if row else ""
        what = _ROW.sub("", text.replace("CSV parse error: ", "")).lstrip(": ")
        return FileError(f"{name}{where}: {what}.", "Each row must have as many values as the header has names.", name)

    def _look_at_text(self) -> None:
        """FileError for what is no text, or separates its values by something else than commas."""
        name = str(self.path)
        with reading(self.path), contextlib.closing(self.raw()) as stream:
            text = stream.read(_LOOK_BYTES)
        if b"\0" in text:
            raise FileError(
                f"{name} is no CSV file: it holds bytes that text does not.",
                "Look at its ending; text must be UTF-8.",
                name,
            )
        header = next(iter(text.splitlines()), b"")
        found = next((mark.decode() for mark in (b";", b"\t", b"|") if mark in header and b"," not in header), None)
        if found:
            raise FileError(
                f"{name} separates its columns by {found!r}, not by commas.",
                f"pandas can convert it: pandas.read_csv({name!r}, sep={found!r}).to_csv('commas.csv', index=False); "
                'with decimal="," where numbers have decimal commas.',
                name,
            )


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return "_" not in value  # Python's own
