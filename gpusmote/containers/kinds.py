"""Detection of container types without importing their libraries: if a caller has one, its library is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from gpusmote.containers.checks import check_shape
from gpusmote.errors import InputTypeError
from gpusmote.messages import indefinite

__all__ = ["is_instance", "is_sequence_like", "refuse_known_features", "type_name", "unreadable"]


def is_instance(value: Any, module: str, *classes: str) -> bool:
    """Whether ``value`` is an instance of one of the classes of a module; False if the module is not loaded.

    Examples
    --------
    >>> is_instance(1, "decimal", "Decimal")
    False
    """
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, tuple(getattr(loaded, name, ()) for name in classes))


def is_sequence_like(value: Any) -> bool:
    """Whether NumPy may be able to read ``value`` as an array."""
    return hasattr(value, "__array__") or (isinstance(value, Sequence) and not isinstance(value, (str, bytes)))


def type_name(value: Any) -> str:
    """The name of the type with its library, for messages."""
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    return kind.__qualname__ if library == "builtins" else f"{library}.{kind.__qualname__}"


_HINTS = {
    # Library: how to convert its containers to a supported one. Lazy containers are never collected without notice.
    "polars": "Call X.collect() first.",
    "dask": "Call X.compute() first.",
    "cupyx": "Make it dense, X.toarray(), or copy it to the host as a SciPy matrix, X.get().",
    "cudf": "Pass X.to_cupy(), or X.to_pandas().",
    "narwhals": "Pass the native frame: X.to_native().",
    "pyspark": "Pass X.toPandas().",
}


def refuse_known_features(X: Any) -> None:
    """Raise for known types of X that are not supported, with a hint how to convert them."""
    if is_instance(X, "polars", "Series") or is_instance(X, "pyarrow", "Array"):
        check_shape((len(X),))
    library = type(X).__module__.partition(".")[0]
    if library in _HINTS or hasattr(X, "__dataframe__"):
        hint = _HINTS.get(library, "Convert it to a pandas or polars DataFrame, or a pyarrow Table.")
        raise InputTypeError(f"X is {indefinite(type_name(X))}, which gpusmote does not read.", hint)


def unreadable(X: Any) -> InputTypeError:
    """The error for an X of a type that is not a table."""
    return InputTypeError(
        f"X is {indefinite(type_name(X))}, which gpusmote cannot read as a table.",
        "Pass a NumPy array, a nested list, a SciPy sparse matrix, a pandas, polars or pyarrow table, or a CuPy or "
        "torch array.",
    )
