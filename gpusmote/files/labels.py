"""The target column, read once: one small number for each row, and the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from gpusmote.containers import Target, wrap_target
from gpusmote.errors import InputError, InputTypeError, NonFiniteError

__all__ = ["PLAIN", "FileTarget", "LabelScan"]

PLAIN = {"string_view": pa.string(), "binary_view": pa.binary()}
"""Types that polars writes and that pyarrow supports only in part, by name, and the types they are cast to."""


class FileTarget(Target):
    """y of a file: codes in as few bytes as they need, and new labels in the column's own type.

    Parameters
    ----------
    codes : ndarray of shape (n,), of an unsigned type
    classes, counts : ndarray of shape (c,)
    labels : pyarrow.Array of length c
        The classes in the column's type, or one that can be cast to it.
    kind : pyarrow.DataType, optional
        The column's type, if that of ``labels`` is another.
    """

    row_bytes = 0  # the rows are encoded already

    def __init__(
        self, codes: np.ndarray, classes: np.ndarray, counts: np.ndarray, labels: Any, kind: Any = None
    ) -> None:
        self.codes, self.classes, self.counts, self.labels, self._kind = codes, classes, counts, labels, kind
        self._order = None

    def names(self) -> list[Any]:
        """The classes as Python values."""
        found: list[Any] = self.labels.to_pylist()
        return found

    def only(self, codes: np.ndarray) -> Any:
        """pyarrow.Array with the labels of these codes."""
        taken = self.labels.take(pa.array(codes))
        return taken if self._kind is None else taken.cast(self._kind)

    def column(self, start: int, stop: int) -> Any:
        """The labels of the rows ``start`` to ``stop``."""
        return self.only(self.codes[start:stop])


class LabelScan:
    """Encodes the target's batches, one after the other.

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
        self._rows = 0

    def add(self, column: Any) -> None:
        """Encode the next rows.

        Raises
        ------
        NonFiniteError
            If a label is missing.
        InputError
            If a label is a fraction or infinite, or the column has a type without classes.
        """
        if column.null_count:
            self._refuse(column.is_null(), "a missing label", NonFiniteError, self._rows)
        if pa.types.is_floating(self._kind):
            values = column.to_numpy(zero_copy_only=False)
            self._refuse(np.isnan(values), "NaN", NonFiniteError, self._rows)
            # Refused here and not at the end, because a column of measurements has as many values as rows.
            broken = (values != np.rint(values)) | np.isinf(values)
            self._refuse(broken, f"{float(values[broken.argmax()])!r}, which is a measurement,", InputError, self._rows)
        # In order of appearance, or in that of the categories; all of these, as they are part of the column's type.
        known = self._numbers
        try:
            encoded = column if pa.types.is_dictionary(self._kind) else column.dictionary_encode()
            values = encoded.dictionary.to_pylist()
            numbers = [known.setdefault(value, len(known)) for value in values]
            kind = encoded.dictionary.type
            if pa.types.is_temporal(kind) and not pa.array(values, kind).equals(encoded.dictionary):
                raise ValueError("Python has no nanoseconds")
        except (pa.ArrowNotImplementedError, ValueError, OverflowError, TypeError) as error:
            raise InputTypeError(  # nested types; dates and times that Python does not have
                f"Column {self._name!r} is of type {self._kind} or has values that cannot be classes.",
                "Make the target a column of whole numbers or text.",
            ) from error
        indices = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
        self._codes.append(np.array(numbers, np.min_scalar_type(len(known)))[indices])
        self._rows += len(column)

    def finish(self) -> FileTarget:
        """The target of all rows.

        Raises
        ------
        InputError
            If there are no rows.
        """
        counts, dictionary = self._count(), pa.types.is_dictionary(self._kind)
        kind = self._kind.value_type if dictionary else self._kind
        plain = PLAIN.get(str(kind))
        values = pa.array(list(self._numbers), plain or kind)
        used = np.flatnonzero(counts)
        found = values.take(pa.array(used))
        # The containers decide about the order of the classes, as for a table in memory.
        known = wrap_target(pa.chunked_array([found]), len(found))
        order = used[np.argsort(known.codes)]
        if dictionary:
            indices = pa.array(order, self._kind.index_type)
            labels = pa.DictionaryArray.from_arrays(indices, values, ordered=self._kind.ordered)
        else:
            labels = values.take(pa.array(order))
        return FileTarget(self._codes_in(order), known.classes, counts[order], labels, plain and self._kind)

    def _count(self) -> np.ndarray:
        """Number of rows of each value, in the order of ``_numbers``."""
        if not self._codes:
            raise InputError("The table has no rows.", "Look at the program that wrote it.")
        counts = np.zeros(len(self._numbers), np.int64)
        for codes in self._codes:
            found = np.bincount(codes)
            counts[: len(found)] += found
        return counts

    def _codes_in(self, order: np.ndarray) -> np.ndarray:
        """The codes of all rows, if the values get this order."""
        position = np.zeros(len(self._numbers), np.min_scalar_type(len(order)))
        position[order] = np.arange(len(order))
        # Batch by batch, because NumPy converts an index to eight bytes per row.
        codes = np.concatenate([position[codes] for codes in self._codes])
        self._codes.clear()
        return codes

    def _refuse(self, where: Any, what: str, kind: type[InputError], start: int) -> None:
        """Raise an error with the first row of ``where``, if there is any."""
        where = np.asarray(where)
        if where.any():
            hint = "Drop these rows, or label them." if kind is NonFiniteError else "Convert it to classes first."
            row = f"row {start + int(where.argmax()):,} (the first row is 0)"
            raise kind(f"Column {self._name!r} holds {what} in {row}.", hint)
