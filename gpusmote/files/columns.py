"""What columns must be like, looked at before any row is read."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from gpusmote.errors import InputError, InputTypeError
from gpusmote.files.resident_rows import ResidentRows
from gpusmote.files.sources import Source
from gpusmote.messages import counted

__all__ = ["check_names", "check_types"]

_NAMED = 10  # columns that an error names at most


def check_types(schema: Any, source: Source) -> None:
    """InputTypeError unless all features are of types that can be interpolated; it says what can be done about it."""
    if _numeric(schema):
        return
    refused = [field for field in schema if not _numeric(pa.schema([field]))]
    told = [f"{field.name!r} ({_described(field.type)})" for field in refused[:_NAMED]]
    more = f" and {len(refused) - _NAMED:,} more" if len(refused) > _NAMED else ""
    names = repr([field.name for field in refused[:_NAMED]]) if not more else "[...]"
    kind = {"arrow": "feather"}.get(source.form.kind, source.form.kind)
    index = ", index=False" if kind == "csv" else ""
    separator = f", sep={source.form.separator!r}" if source.form.separator != "," else ""
    plain = f"pandas.read_{kind}({source.path.name!r}{separator})"
    raise InputTypeError(
        f"{counted(len(refused), 'column')} {'is' if len(refused) == 1 else 'are'} not numeric: "
        f"{', '.join(told)}{more}.",
        "Rows are interpolated, so every column but the target must be numbers. Encode categories: "
        f"pandas.get_dummies({plain}, columns={names}).to_{kind}('encoded.{kind}'{index}), "
        f"or leave columns out: {plain}.drop(columns={names}).",
    )


def _numeric(schema: Any) -> bool:
    try:
        ResidentRows(schema, 0, [])
    except InputTypeError:
        return False
    return True


def _described(kind: Any) -> str:
    return "without any value" if pa.types.is_null(kind) else str(kind)


def check_names(schema: Any, target: str) -> None:
    """InputError unless the columns have names of their own, the target is among them, and there are others."""
    names = schema.names
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        raise InputError(
            f"{', '.join(map(repr, repeated[:5]))} {'name' if len(repeated) > 1 else 'names'} more than one column.",
            "Give each column a name of its own.",
        )
    if target not in names:
        more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
        raise InputError(
            f"There is no column {target!r}.", f"The columns are {', '.join(map(repr, names[:20]))}{more}."
        )
    if len(names) < 2:
        raise InputError(f"{target!r} is the only column.", "There must be features beside the target.")
    stored = [name for name in _index_columns(schema) if name in names]
    if stored:
        raise InputError(
            f"{', '.join(map(repr, stored))} {'are' if len(stored) > 1 else 'is'} the index of a pandas DataFrame, "
            "which no synthetic row has.",
            "Write the DataFrame with index=False, or make the index a column by reset_index().",
        )


def _index_columns(schema: Any) -> Iterator[str]:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        stored = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        yield from (name for name in stored.get("index_columns", []) if isinstance(name, str))
