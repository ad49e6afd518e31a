"""What the text of a CSV file's columns means: numbers of the features, classes of the target."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from gpusmote.errors import InputError, InputTypeError, NonFiniteError, warn
from gpusmote.files.labels import FileTarget, LabelScan
from gpusmote.files.resident_rows import features_of
from gpusmote.messages import counted

__all__ = ["FeatureParser", "SpelledLabels"]

_MISSING = pa.csv.ConvertOptions().null_values
_TRUE, _FALSE = (
    pa.array(texts) for texts in (pa.csv.ConvertOptions().true_values, pa.csv.ConvertOptions().false_values)
)
_BLANKS = " \t"
_OF_WHOLE = np.zeros(256, bool)
_OF_WHOLE[list(b"-0123456789")] = True
_EXACT = 2.0**53  # up to which float64 holds every integer
_NAMED = 10  # columns or labels that a message names at most


class FeatureParser:
    """Features as numbers, and for each column the types that hold for all its values so far.

    A column is of int64 if all its values are spelled as whole numbers, else of bool, else of float64, else of text:
    the types that :func:`pyarrow.csv.read_csv` finds, as far as numbers go. All are stored in float64 until the end.

    Parameters
    ----------
    names : list of str
    separator : str
        Of the file, for what an error advises.
    """

    def __init__(self, names: list[str], separator: str) -> None:
        n = len(names)
        self._names, self._separator = names, separator
        self.stored = pa.schema([(name, pa.float64()) for name in names])
        self._whole, self._boolean, self._float = (np.ones(n, bool) for _ in range(3))
        self._empty, self._code = np.ones(n, bool), np.zeros(n, bool)
        self._beyond: dict[int, tuple[int, int]] = {}  # first row and integer of a column that float64 does not hold
        self._rows = 0

    def parse(self, batch: Any) -> Any:
        """The next rows, a record batch of text, as one of float64 with nulls for what is missing or no number."""
        arrays: list[Any] = [None] * len(self._names)
        undecided = self._whole | self._boolean | self._empty
        self._parse_together(batch, np.flatnonzero(self._float & undecided), arrays, note=True)
        self._parse_together(batch, np.flatnonzero(self._float & ~undecided), arrays, note=False)
        for j in range(len(self._names)):
            if arrays[j] is None:
                arrays[j] = self._parse_alone(batch.column(j), j)
        self._rows += batch.num_rows
        return pa.RecordBatch.from_arrays(arrays, schema=self.stored)

    def _parse_together(self, batch: Any, columns: np.ndarray, arrays: list[Any], *, note: bool) -> None:
        """Fill in these columns if all their values are numbers. All at once: a call for each column takes longer."""
        if not len(columns):
            return
        text = pa.concat_arrays([batch.column(j) for j in columns.tolist()])
        try:
            values = text.cast(pa.float64()).to_numpy().reshape(len(columns), -1)
        except pa.ArrowInvalid:
            return
        if np.isnan(values).any():  # missing
            return
        if note:
            self._note(text, values, columns)
        for j, column in zip(columns.tolist(), values, strict=True):
            arrays[j] = pa.array(column)

    def _note(self, text: Any, values: np.ndarray, columns: np.ndarray) -> None:
        """Take down what numbers without a missing one are spelled like; one line of ``values`` a column."""
        buffers = text.buffers()
        ends = np.frombuffer(buffers[1], np.int32, len(text) + 1, 4 * text.offset)
        start, stop = int(ends[0]), int(ends[-1])
        letters = np.frombuffer(buffers[2], np.uint8, stop - start, start)
        others = np.concatenate([[0], np.cumsum(~_OF_WHOLE[letters], dtype=np.int32)])
        whole = (others[ends[1:] - start] == others[ends[:-1] - start]).reshape(values.shape)
        beyond = np.abs(values) >= _EXACT
        first, second = (letters[np.minimum(ends[:-1] - start + i, len(letters) - 1)] for i in (0, 1))
        digits = (ends[1:] - ends[:-1] > 1) & (first == ord("0")) & (second >= ord("0")) & (second <= ord("9"))
        coded = digits.reshape(values.shape) & whole
        all_whole = whole.all(axis=1)
        self._code[columns] |= coded.any(axis=1)
        # A column with a fraction, or a whole number beyond int64, is of measurements: zeros in front mean nothing.
        self._whole[columns] &= all_whole & (np.abs(values) < 2.0**63).all(axis=1)
        self._boolean[columns] &= all_whole & ((values == 0) | (values == 1)).all(axis=1)
        self._empty[columns] = False
        for i in np.flatnonzero(beyond.any(axis=1)):
            j = int(columns[i])
            for row in np.flatnonzero(beyond[i]) if self._whole[j] and j not in self._beyond else ():
                value = int(text[int(i) * values.shape[1] + int(row)].as_py())
                if abs(value) > _EXACT:
                    self._beyond[j] = (self._rows + int(row), value)
                    break

    def _parse_alone(self, text: Any, j: int) -> Any:
        """A column with what is no plain number: missing values, blanks around numbers, bool, hexadecimals, text."""
        text = pc.utf8_trim(pc.if_else(pc.is_in(text, pa.array(_MISSING)), None, text), _BLANKS)
        known = text.drop_null()
        if not len(known):
            return pa.nulls(len(text), pa.float64())
        if self._float[j]:
            try:
                values = known.cast(pa.float64()).to_numpy()
            except pa.ArrowInvalid:
                self._float[j] = False
            else:
                self._note(known, values[np.newaxis], np.array([j]))
                return text.cast(pa.float64())
        self._empty[j] = False
        if self._whole[j] or self._code[j]:
            try:
                found = text.cast(pa.int64())
            except pa.ArrowInvalid:
                self._whole[j] = False
            else:
                self._code[j] = True  # hexadecimal
                return pc.cast(found, pa.float64(), safe=False)
        true = pc.is_in(text, _TRUE)
        if self._boolean[j] and pc.all(pc.or_(true, pc.or_(pc.is_in(text, _FALSE), text.is_null()))).as_py():
            return pc.if_else(text.is_null(), None, true.cast(pa.float64()))
        self._boolean[j] = False
        return pa.nulls(len(text), pa.float64())

    def finish(self, path: Path) -> Any:
        """pyarrow.Schema of the features.

        Raises
        ------
        InputTypeError
            If a column is of codes, which numbers cannot be written like.
        InputError
            If an integer is beyond 2**53.
        """
        codes = [name for name, code in zip(self._names, self._code & self._whole, strict=True) if code]
        if codes:
            named = ", ".join(map(repr, codes[:_NAMED])) + (
                f" and {len(codes) - _NAMED:,} more" if codes[_NAMED:] else ""
            )
            sep = "" if self._separator == "," else f", sep={self._separator!r}"
            listed = repr(codes) if len(codes) <= _NAMED else "[...]"
            read = f"pandas.read_csv({path.name!r}{sep}, dtype=str)"
            raise InputTypeError(
                f"{counted(len(codes), 'column')} {'is' if len(codes) == 1 else 'are'} of codes, such as 007 or 0x1F, "
                f"not of numbers: {named}. Values between two codes cannot be spelled like them.",
                f"Leave columns out: {read}.drop(columns={listed}).to_csv('numbers.csv', index=False). Where they are "
                f"numbers all the same, read them without dtype=str and write them again.",
            )
        for j, (row, value) in self._beyond.items():
            if self._whole[j]:
                features_of(pa.record_batch([pa.array([value])], [self._names[j]]), row)
        return pa.schema([(name, self._kind(j)) for j, name in enumerate(self._names)])

    def _kind(self, j: int) -> Any:
        if self._empty[j]:
            return pa.null()
        if self._float[j]:
            return pa.int64() if self._whole[j] else pa.float64()
        return pa.bool_() if self._boolean[j] else pa.string()


class SpelledLabels(LabelScan):
    """Labels of a CSV file: each spelling is a class.

    They are int64 or bool where all are spelled as those are written, so that each comes back as it was, else text.
    Text that means numbers is sorted as numbers.

    Parameters
    ----------
    name : str
        Of the column.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, pa.string())

    def finish(self) -> FileTarget:
        """The target of all rows.

        Raises
        ------
        NonFiniteError
            If a label is missing.
        InputError
            If there are no rows, or a label is a measurement.
        """
        codes, texts = self._all_codes(), list(self._numbers)
        numbers = {text: number for text in texts if (number := _number(text)) is not None}
        plain = [text for text in texts if text not in _MISSING and not _is_infinite(text)]
        numeric = bool(plain) and all(text in numbers or text.lower() in ("true", "false") for text in plain)
        for code, text in enumerate(texts):
            if not text or (numeric and text in _MISSING):
                self._refuse(codes == code, "a missing label", NonFiniteError, 0)
            broken = text in numbers and numbers[text] != numbers[text].to_integral_value()
            if (broken and len(numbers) == len(plain)) or (numeric and _is_infinite(text)):
                self._refuse(codes == code, f"{text}, which is a measurement rather than a class,", InputError, 0)
        self._warn_of_spellings(texts, numbers)
        if len(numbers) == len(texts):
            texts.sort(key=lambda text: (numbers[text], text))
        else:
            texts.sort()
        position = np.empty(len(texts), np.min_scalar_type(len(texts)))
        position[[self._numbers[text] for text in texts]] = np.arange(len(texts))
        labels = pa.array(texts).cast(_kind_of(texts))
        classes = labels.to_numpy(zero_copy_only=False)
        codes = position[codes]
        return FileTarget(codes, classes, np.bincount(codes, minlength=len(texts)), labels)

    def _warn_of_spellings(self, texts: list[str], numbers: dict[str, Decimal]) -> None:
        meant: dict[Any, list[str]] = {}
        for text in texts:
            meaning = numbers.get(text, text.lower() if text.lower() in ("true", "false") else text)
            meant.setdefault(meaning, []).append(text)
        several = [" and ".join(map(repr, sorted(spelled))) for spelled in meant.values() if len(spelled) > 1]
        if several:
            more = f" and {len(several) - _NAMED:,} more" if several[_NAMED:] else ""
            warn(
                f"Column {self._name!r} spells the same value in several ways, each of which is a class of its own: "
                f"{', '.join(several[:_NAMED])}{more}. Spell them alike if they are one class."
            )


_NUMBER = re.compile(r"[ \t]*(?:([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?)|(0[xX][0-9a-fA-F]+))[ \t]*")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


def _number(text: str) -> Decimal | None:
    """What a text means as a number, exactly."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    return Decimal(found[1]) if found[1] else Decimal(int(found[2], 16))


def _is_infinite(text: str) -> bool:
    return _INFINITE.fullmatch(text) is not None


def _kind_of(texts: list[str]) -> Any:
    if all(_WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63 for text in texts):
        return pa.int64()
    return pa.bool_() if all(text in ("true", "false") for text in texts) else pa.string()
