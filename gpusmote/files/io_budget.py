"""What a table needs in memory on its way from file to file."""

from __future__ import annotations

import dataclasses
from typing import Any

from gpusmote.files.formats import Form

__all__ = ["Traffic", "batch_bytes", "row_bytes", "text_block"]

_LIBRARIES = {"arrow": 10_000_000, "csv": 23_000_000, "parquet": 23_000_000}
"""Bytes that pyarrow, NumPy and the system's loader take when they first do what a run needs, once in a process."""
_SLACK = 1.15  # of what a reader holds: pieces between blocks that pyarrow's allocator cannot use
_GROUPS_HELD = 1.85  # a row group, and what is kept between its blocks while it is encoded
_COPIES = 4  # of a batch: as it is read, in the work dtype, as bytes on their way to the file
_LARGEST_BATCH = 2 << 20
_SMALLEST_TEXT, _LARGEST_TEXT = 128 << 10, 1 << 20
_TEXT_BYTES = 32  # what a value of a type without a fixed width is taken to need


def text_block(group: int) -> int:
    """Bytes of CSV text that are parsed at once, where row groups have ``group`` bytes."""
    return min(_LARGEST_TEXT, max(_SMALLEST_TEXT, group // 16))


def batch_bytes(group: int) -> int:
    """Bytes of rows that are read and written at once, likewise."""
    return min(_LARGEST_BATCH, group // 8)


@dataclasses.dataclass(frozen=True)
class Traffic:
    """A table that streams by, once its source has been scanned.

    Attributes
    ----------
    source : Source
    into : Form
        Of the destination.
    rows : int
        Of the source.
    """

    source: Any
    into: Form
    rows: int

    @property
    def libraries(self) -> int:
        """Bytes that libraries take for themselves."""
        return max(_LIBRARIES[self.source.form.kind], _LIBRARIES[self.into.kind])

    def reading(self, group: int) -> int:
        """Bytes while rows are read to be held, with row groups of ``group`` bytes."""
        return self.libraries + self._read(group) + _COPIES * batch_bytes(self._filled(group, self.rows))

    def streaming(self, group: int, rows: int) -> int:
        """Bytes while a result of so many rows is written."""
        filled = self._filled(group, rows)
        held = _GROUPS_HELD * filled if self.into.kind == "parquet" else _COPIES * batch_bytes(filled)
        return self.libraries + self._read(group) + int(held)

    def _filled(self, group: int, rows: int) -> int:
        return min(group, rows * row_bytes(self.source.schema))

    def _read(self, group: int) -> int:
        return int(_SLACK * self.source.held_at_once(group))


def row_bytes(schema: Any) -> int:
    """Bytes of a row in memory, about."""
    return max(1, sum(_width(field.type) for field in schema))


def _width(kind: Any) -> int:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return _TEXT_BYTES
