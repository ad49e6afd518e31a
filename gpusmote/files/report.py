"""What a run over files did."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["FileReport"]


@dataclasses.dataclass(frozen=True)
class FileReport:
    """What :func:`gpusmote.resample_file` did.

    Attributes
    ----------
    source, destination : str
        The files.
    origins : str or None
        The file of origins.
    target : str
        The column of labels.
    n_features : int
    rows_before, rows_after : int
        Rows of the table that was read and of the table that was written.
    n_synthetic : int
        Synthetic rows among those that were written.
    classes_before, classes_after : dict
        Label to rows, in sorted order; ``classes_after`` counts the originals too where they are written.
    device : str
        "cpu" or "cuda:N": where neighbors were sought and rows made.
    reason : str
        Why that one.
    seconds : dict of str to float
        Wall time of each stage: "scan", "read", "search", "copy", "make", "publish" (flush to disk and rename).
    bytes_read, bytes_written : int
        Size of the source, and of all that was written.
    peak_estimate : int
        Upper bound of the bytes that this call holds, beyond what the process held before.
    memory_limit : int or None
        What it was held to; None where the system does not say what is free.
    versions : dict of str to str
        Of what had a part in it.
    sampler : dict
        ``name``, ``parameters`` and ``report`` (the sampler's :class:`~gpusmote.synthesis.report.Report`).
    """

    source: str
    destination: str
    origins: str | None
    target: str
    n_features: int
    rows_before: int
    rows_after: int
    n_synthetic: int
    classes_before: dict[Any, int]
    classes_after: dict[Any, int]
    device: str
    reason: str
    seconds: dict[str, float]
    bytes_read: int
    bytes_written: int
    peak_estimate: int
    memory_limit: int | None
    versions: dict[str, str]
    sampler: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """All of it as what ``json.dumps`` takes; classes become a list of ``{"label", "before", "after"}``."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        after = fields.pop("classes_after")
        fields["classes"] = [
            {"label": label, "before": count, "after": after[label]}
            for label, count in fields.pop("classes_before").items()
        ]
        plain: dict[str, Any] = _plain(fields)
        return plain


def _plain(value: Any) -> Any:
    """``value`` in JSON's types; what JSON does not know becomes text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
