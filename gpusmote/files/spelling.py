"""Conversion of the text of a CSV file: numbers of the features, classes of the target."""

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
from gpusmote.files.resident_rows import check_features
from gpusmote.messages import counted

__all__ = ["FeatureParser", "SpelledLabels"]

_OPTIONS = pa.csv.ConvertOptions()
_MISSING = pa.array(_OPTIONS.null_values)
_TRUE, _FALSE = pa.array(_OPTIONS.true_values), pa.array(_OPTIONS.false_values)
_BLANKS = " \t"
_EXACT = 2**53  # float64 represents every integer up to this one
_NAMED = 10  # columns or labels that a message names at most


class FeatureParser:
    """Features as numbers, and for each column the types that fit all its values so far.

    A column is int64 if all its values are whole numbers, else bool, else float64, else text: the types that
    :func:`pyarrow.csv.read_csv` infers, as far as numbers are concerned. All are stored in float64 until the end.

    Parameters
    ----------
    names : list of str
    """

    def __init__(self, names: list[str]) -> None:
        n = len(names)
        self._names = names
        self.stored = pa.schema([(name, pa.float64()) for name in names])
        self._whole, self._boolean, self._float, self._empty = (np.ones(n, bool) for _ in range(4))
        self._code, self._hexadecimal = np.zeros(n, bool), np.zeros(n, bool)  # 007 and 0x1F; 0x1F only
        self._inexact: dict[int, tuple[int, int]] = {}  # first row and value of an integer that float64 cannot hold
        self._rows = 0

    def parse(self, batch: Any) -> Any:
        """The next rows, a record batch of text, in float64, with nulls for missing values and for text."""
        arrays: list[Any] = [None] * len(self._names)
        # All columns of a kind in one call, because a call for each column takes longer.
        if not self._parse_integers(batch, arrays):
            self._find_fractions(batch)  # in the first batch, and where a column changes
            self._parse_integers(batch, arrays)
        columns = np.flatnonzero(self._float & ~self._whole)
        floats = _cast(_joined(batch, columns), pa.float64()) if len(columns) else None
        if floats is not None and not np.isnan(floats).any():
            self._fill(arrays, columns, floats)
        for j in range(len(self._names)):
            if arrays[j] is None:
                arrays[j] = self._parse_alone(batch.column(j), j)
        self._rows += batch.num_rows
        return pa.RecordBatch.from_arrays(arrays, schema=self.stored)

    def _parse_integers(self, batch: Any, arrays: list[Any]) -> bool:
        """Fill in the columns that were whole so far, if they still are."""
        columns = np.flatnonzero(self._whole)
        if not len(columns):
            return True
        text = _joined(batch, columns)
        integers = _cast(text, pa.int64())
        if integers is None:
            return False
        self._note_integers(text, integers, columns)
        self._fill(arrays, columns, integers.astype(np.float64))
        return True

    def _find_fractions(self, batch: Any) -> None:
        """Note which of the columns that were whole so far are now spelled with fractions, exponents or plus signs."""
        columns = np.flatnonzero(self._whole)
        text = _joined(batch, columns)
        number, fraction = (
            pc.match_substring_regex(text, pattern).to_numpy(zero_copy_only=False).reshape(len(columns), -1)
            for pattern in ("^[-+0-9.eE]+$", "[+.eE]")
        )
        found = columns[number.all(axis=1) & fraction.any(axis=1)]
        self._whole[found] = self._boolean[found] = self._empty[found] = False

    def _fill(self, arrays: list[Any], columns: np.ndarray, values: np.ndarray) -> None:
        for j, column in zip(columns.tolist(), values.reshape(len(columns), -1), strict=True):
            arrays[j] = pa.array(column)

    def _note_integers(self, text: Any, values: np.ndarray, columns: np.ndarray) -> None:
        """Note the spelling and the range of columns of integers, which are concatenated."""
        zero = pc.or_(pc.starts_with(text, "0"), pc.starts_with(text, "-0"))
        if pc.any(pc.and_(zero, pc.greater(pc.binary_length(text), 1))).as_py():  # rare, and the expressions are slow
            for flags, pattern in ((self._code, "^-?0[0-9xX]"), (self._hexadecimal, "^0[xX]")):
                found = pc.match_substring_regex(text, pattern).to_numpy(zero_copy_only=False)
                flags[columns] |= found.reshape(len(columns), -1).any(axis=1)
        values = values.reshape(len(columns), -1)
        low, high = values.min(axis=1), values.max(axis=1)
        self._boolean[columns] &= (low >= 0) & (high <= 1)
        self._empty[columns] = False
        for i in np.flatnonzero((low < -_EXACT) | (high > _EXACT)):
            row = int(((values[i] < -_EXACT) | (values[i] > _EXACT)).argmax())
            self._inexact.setdefault(int(columns[i]), (self._rows + row, int(values[i, row])))

    def _parse_alone(self, text: Any, j: int) -> Any:
        """A column with other values than plain numbers: missing values, blanks, bool, hexadecimals, text."""
        text = pc.utf8_trim(pc.if_else(pc.is_in(text, _MISSING), None, text), _BLANKS)
        known = text.drop_null()
        if not len(known):
            return pa.nulls(len(text), pa.float64())
        self._empty[j] = False
        integers = _cast(known, pa.int64()) if self._whole[j] else None
        self._whole[j] = integers is not None
        if integers is not None:
            self._note_integers(known, integers, np.array([j]))
            return pc.cast(text.cast(pa.int64()), pa.float64(), safe=False)
        self._float[j] &= _cast(known, pa.float64()) is not None
        if self._float[j]:
            self._boolean[j] = False
            return text.cast(pa.float64())
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
            If a column contains codes, such as 007.
        InputError
            If an integer is beyond 2**53.
        """
        codes = [name for name, code in zip(self._names, self._code & self._whole, strict=True) if code]
        if codes:
            more = f" and {len(codes) - _NAMED:,} more" if codes[_NAMED:] else ""
            raise InputTypeError(
                f"{counted(len(codes), 'column')} of codes, such as 007 or 0x1F: {', '.join(map(repr, codes[:_NAMED]))}"
                f"{more}. Values between two codes have no meaning.",
                f"Leave them out: pandas.read_csv({path.name!r}, dtype=str).drop(columns="
                f"{'[...]' if more else codes}).to_csv('numbers.csv', index=False). If they are numbers, write them "
                "without leading zeros.",
            )
        for j, (row, value) in self._inexact.items():
            if self._whole[j]:
                check_features(pa.record_batch([pa.array([value])], [self._names[j]]), row)
        return pa.schema([(name, self._kind(j)) for j, name in enumerate(self._names)])

    def _kind(self, j: int) -> Any:
        if self._empty[j]:
            return pa.null()
        if self._whole[j]:
            return pa.int64()
        if self._boolean[j]:
            return pa.bool_()
        return pa.float64() if self._float[j] and not self._hexadecimal[j] else pa.string()


def _joined(batch: Any, columns: np.ndarray) -> Any:
    """The columns of a batch of text, one after the other in one array."""
    return pa.concat_arrays([batch.column(j) for j in columns.tolist()])


def _cast(text: Any, kind: Any) -> np.ndarray | None:
    """The values of an array of text as numbers; None if one of them is not a number."""
    try:
        numbers = text.cast(kind)
    except pa.ArrowInvalid:
        return None
    return None if numbers.null_count else numbers.to_numpy()


class SpelledLabels(LabelScan):
    """Labels of a CSV file: each spelling is a class.

    They are int64 or bool if all are spelled in the usual way, so that each is written as it was; otherwise they are
    text. Text that means numbers is sorted as numbers.

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
        counts, texts = self._count(), list(self._numbers)
        numbers = {text: number for text in texts if (number := _number(text)) is not None}
        infinite = {text for text in texts if _INFINITE.fullmatch(text)}
        plain = [text for text in texts if text not in _OPTIONS.null_values and text not in infinite]
        numeric = bool(plain) and all(text in numbers or text.lower() in ("true", "false") for text in plain)
        for code, text in enumerate(texts):
            if not text or (numeric and text in _OPTIONS.null_values):
                self._refuse_label(code, "a missing label", NonFiniteError)
            fraction = text in numbers and numbers[text] != numbers[text].to_integral_value()
            if (fraction and len(numbers) == len(plain)) or (numeric and text in infinite):
                self._refuse_label(code, f"{text}, which is a measurement,", InputError)
        self._warn_of_spellings(texts, numbers)
        if len(numbers) == len(texts):
            texts.sort(key=lambda text: (numbers[text], text))
        else:
            texts.sort()
        order = np.array([self._numbers[text] for text in texts])
        labels = pa.array(texts).cast(_kind_of(texts))
        return FileTarget(self._codes_in(order), labels.to_numpy(zero_copy_only=False), counts[order], labels)

    def _refuse_label(self, code: int, what: str, kind: type[InputError]) -> None:
        self._refuse(np.concatenate(self._codes) == code, what, kind, 0)

    def _warn_of_spellings(self, texts: list[str], numbers: dict[str, Decimal]) -> None:
        meant: dict[Any, list[str]] = {}
        for text in texts:
            meaning = numbers.get(text, text.lower() if text.lower() in ("true", "false") else text)
            meant.setdefault(meaning, []).append(text)
        several = [" and ".join(map(repr, sorted(spelled))) for spelled in meant.values() if len(spelled) > 1]
        if several:
            more = f" and {len(several) - _NAMED:,} more" if several[_NAMED:] else ""
            warn(
                f"Column {self._name!r} spells the same value in several ways, each of which is a separate class: "
                f"{', '.join(several[:_NAMED])}{more}. Use one spelling if they are one class."
            )


_NUMBER = re.compile(r"[ \t]*(?:([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?)|(0[xX][0-9a-fA-F]+))[ \t]*")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


def _number(text: str) -> Decimal | None:
    """The exact number that a text means."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    return Decimal(found[1]) if found[1] else Decimal(int(found[2], 16))


def _kind_of(texts: list[str]) -> Any:
    if all(_WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63 for text in texts):
        return pa.int64()
    return pa.bool_() if all(text in ("true", "false") for text in texts) else pa.string()
