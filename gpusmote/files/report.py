"""The report of a run over files."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["FileReport"]


@dataclasses.dataclass(frozen=True)
class FileReport:
    """What :func:`gpusmote.resample_file` did, with its inputs and outputs.

    Attributes
    ----------
    source, destination : str
        The files.
    origins : str or None
        The file of origins.
    target : str
        Column of the labels.
    n_features : int
    rows_before, rows_after : int
        Number of rows of the source and of the destination.
    n_synthetic : int
        Number of synthetic rows.
    classes_before, classes_after : dict
        Number of rows of each label, in sorted order; ``classes_after`` includes the originals if they are written.
    device : str
        "cpu" or "cuda:N": the device of the search and of the synthesis.
    reason : str
        Why that device was chosen.
    seconds : dict of str to float
        Wall time of each stage: "scan", "read", "search", "copy", "make", "publish" (flush to disk and rename).
    bytes_read, bytes_written : int
        Size of the source files, and of all files that were written.
    peak_estimate : int
        Upper bound of the bytes by which the process grew during the call.
    memory_limit : int or None
        The limit on the host; None if none was given and the free memory is unknown.
    versions : dict of str to str
        Versions of the packages that were used.
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
        """A dict for ``json.dumps``; the classes are a list of ``{"label", "before", "after"}``."""
        fields = dict(vars(self))
        before, after = fields.pop("classes_before"), fields.pop("classes_after")
        fields["classes"] = [{"label": label, "before": n, "after": after[label]} for label, n in before.items()]
        plain: dict[str, Any] = _plain(fields)
        return plain


def _plain(value: Any) -> Any:
    """``value`` in the types of JSON; other types become text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
