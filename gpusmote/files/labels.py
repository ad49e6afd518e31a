"""The target column, read once: one small number a row, and the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from gpusmote.containers import Target, wrap_target
from gpusmote.errors import InputError, InputTypeError, NonFiniteError

__all__ = ["PLAIN", "FileTarget", "LabelScan"]

PLAIN = {"string_view": pa.string(), "binary_view": pa.binary()}
"""By their names: types as polars writes them, with which pyarrow can do little, and what is cast to them and back."""


class FileTarget(Target):
    """y of a file: codes in as few bytes as they need, and new labels in the column's own type.

    Parameters
    ----------
    codes : ndarray of shape (n,), of an unsigned type
    classes : ndarray of shape (c,)
    counts : ndarray of shape (c,), int64
    labels : pyarrow.Array of length c
        The classes in the column's type, or one that can be cast to it.
    kind : pyarrow.DataType, optional
        The column's type, where that of ``labels`` is another.
    """

    row_bytes = 0  # they are sorted into classes already

    def __init__(
        self, codes: np.ndarray, classes: np.ndarray, counts: np.ndarray, labels: Any, kind: Any = None
    ) -> None:
        self.codes, self.classes, self.counts, self.labels, self._kind = codes, classes, counts, labels, kind

    def names(self) -> list[Any]:
        """The classes as Python's values; as text where Python has none for each, such as for the year 10000."""
        return _python_values(self.labels) or self.labels.cast(pa.string()).to_pylist()

    def only(self, codes: np.ndarray) -> Any:
        """pyarrow.Array with the labels of these codes."""
        taken = self.labels.take(pa.array(codes))
        return taken if self._kind is None else taken.cast(self._kind)

    def column(self, start: int, stop: int) -> Any:
        """The labels of the rows ``start`` to ``stop``."""
        return self.only(self.codes[start:stop])


class LabelScan:
    """Takes in the target's batches, one after the other.

    Parameters
    ----------
    name : str
        Of the column.
    kind : pyarrow.DataType
    """

    def __init__(self, name: str, kind: Any) -> None:
        self._name, self._kind = name, kind
        self._numbers: dict[Any, int] = {}
        self._codes: list[np.ndarray] = []
        self._counts = np.empty(0, np.int64)
        self._rows = 0

    @property
    def n_rows(self) -> int:
        return self._rows

    def add(self, column: Any) -> None:
        """The next rows.

        Raises
        ------
        NonFiniteError
            If a label is missing.
        InputError
            If a label is no class.
        """
        if column.null_count:
            self._refuse(column.is_null(), "a missing label", NonFiniteError, self._rows)
        try:
            encoded = column if pa.types.is_dictionary(self._kind) else column.dictionary_encode()
        except pa.ArrowNotImplementedError as error:
            raise InputTypeError(
                f"Column {self._name!r} is of type {self._kind}, of which no classes can be made.",
                "Make the target a column of whole numbers or text.",
            ) from error
        self._check_whole(column)
        # In order of appearance, or in that of the categories: of all of them, as they are the column's type.
        known = self._numbers
        values = _as_numbers(encoded.dictionary).to_pylist()
        numbers = np.array([known.setdefault(value, len(known)) for value in values], np.int64)
        codes = numbers[encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)]
        # Batch by batch: to count them all at once, NumPy would make eight bytes of each.
        counts = np.bincount(codes, minlength=len(known))
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        self._codes.append(codes.astype(np.min_scalar_type(len(known)), copy=False))
        self._rows += len(column)

    def finish(self) -> FileTarget:
        """The target of all rows.

        Raises
        ------
        InputError
            If there are no rows, or no classes.
        """
        codes = self._all_codes()
        dictionary = pa.types.is_dictionary(self._kind)
        kind = self._kind.value_type if dictionary else self._kind
        plain = PLAIN.get(str(kind))
        if pa.types.is_temporal(kind):
            whole = pa.int32() if kind.bit_width == 32 else pa.int64()
            values = pa.array(list(self._numbers), whole).view(kind)
        else:
            values = pa.array(list(self._numbers), plain or kind)
        present = np.flatnonzero(self._counts)
        found = values.take(pa.array(present))
        if not _python_values(found):
            found = found.cast(pa.string())
        known = wrap_target(pa.chunked_array([found]), len(present))
        position = np.zeros(len(values), np.min_scalar_type(len(known.classes)))
        position[present] = known.codes
        some = np.empty(len(known.classes), np.int64)  # a value of each class
        some[known.codes] = present
        counts = np.zeros(len(known.classes), np.int64)
        np.add.at(counts, known.codes, self._counts[present])
        if dictionary:
            indices = pa.array(some, self._kind.index_type)
            labels = pa.DictionaryArray.from_arrays(indices, values, ordered=self._kind.ordered)
        else:
            labels = values.take(pa.array(some))
        return FileTarget(position[codes], known.classes, counts, labels, plain and self._kind)

    def _all_codes(self) -> np.ndarray:
        if not self._rows:
            raise InputError("The table has no rows.", "Look at what should have written them.")
        codes = np.concatenate(self._codes)
        self._codes.clear()
        return codes

    def _check_whole(self, column: Any) -> None:
        if not pa.types.is_floating(self._kind):
            return
        values = column.to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            if np.isnan(values).any():
                self._refuse(np.isnan(values), "NaN", NonFiniteError, self._rows)
            broken = (values != np.rint(values)) | np.isinf(values)
        if broken.any():
            value = values[broken.argmax()]
            self._refuse(
                broken, f"{float(value)!r}, which is a measurement rather than a class,", InputError, self._rows
            )

    def _refuse(self, where: Any, what: str, kind: type[InputError], start: int) -> None:
        row = start + int(np.asarray(where).argmax())
        hint = "Leave these rows out, or label them." if kind is NonFiniteError else "Make classes of it first."
        raise kind(f"Column {self._name!r} holds {what} in row {row:,} (the first row is 0).", hint)


def _as_numbers(values: Any) -> Any:
    """Dates and times as the integers that they are stored as: Python's have no year 10000 and no nanoseconds."""
    if not pa.types.is_temporal(values.type):
        return values
    return values.view(pa.int32() if values.type.bit_width == 32 else pa.int64())


def _python_values(values: Any) -> list[Any]:
    """The values in Python's types; an empty list if those cannot tell them apart."""
    try:
        found: list[Any] = values.to_pylist()
    except (ValueError, OverflowError):
        return []
    return found if len(set(found)) == len(values) else []
