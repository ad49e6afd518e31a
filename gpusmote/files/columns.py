"""Checks of the columns of a table, before any row is read."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pyarrow as pa

from gpusmote.errors import InputError, InputTypeError
from gpusmote.files.sources import Source
from gpusmote.messages import counted

__all__ = ["check_names", "check_types"]

_NAMED = 10  # columns that an error names at most
_NUMERIC = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)


def check_types(schema: Any, source: Source) -> None:
    """InputTypeError unless all features are numeric or bool; the hint has lines of pandas code that make them so."""
    refused = [field for field in schema if not any(numeric(field.type) for numeric in _NUMERIC)]
    if not refused:
        return
    listed = ", ".join(f"{field.name!r} ({_described(field.type)})" for field in refused[:_NAMED])
    names = repr([field.name for field in refused])
    if len(refused) > _NAMED:
        listed, names = f"{listed} and {len(refused) - _NAMED:,} more", "[...]"
    kind = {"arrow": "feather"}.get(source.form.kind, source.form.kind)
    index = ", index=False" if kind == "csv" else ""
    separator = f", sep={source.form.separator!r}" if source.form.separator != "," else ""
    plain = f"pandas.read_{kind}({source.path.name!r}{separator})"
    raise InputTypeError(
        f"{counted(len(refused), 'column')} {'is' if len(refused) == 1 else 'are'} not numeric: {listed}.",
        "Rows are interpolated, so every column but the target must be numbers. Encode categories: "
        f"pandas.get_dummies({plain}, columns={names}).to_{kind}('encoded.{kind}'{index}), "
        f"or leave columns out: {plain}.drop(columns={names}).",
    )


def _described(kind: Any) -> str:
    return "without any value" if pa.types.is_null(kind) else str(kind)


def check_names(schema: Any, target: str) -> None:
    """InputError unless the names of the columns differ, the target is one of them, and there are others."""
    names = schema.names
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        raise InputError(f"{repeated[0]!r} names more than one column.", "Give each column a unique name.")
    if target not in names:
        more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
        raise InputError(
            f"There is no column {target!r}.", f"The columns are {', '.join(map(repr, names[:20]))}{more}."
        )
    if len(names) < 2:
        raise InputError(f"{target!r} is the only column.", "There must be features as well.")
    try:
        index = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
        stored = [name for name in index if isinstance(name, str) and name in names]
    except (ValueError, TypeError, AttributeError):  # not written by pandas
        stored = []
    if stored:
        raise InputError(
            f"{', '.join(map(repr, stored))} {'are' if len(stored) > 1 else 'is'} the index of a pandas DataFrame, "
            "which synthetic rows do not have.",
            "Write the DataFrame with index=False, or make the index a column with reset_index().",
        )
