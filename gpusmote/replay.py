"""Plans on disk: a NumPy archive without pickles."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from gpusmote.arrays import Table, Target, wrap_features, wrap_target
from gpusmote.backends import Backend, select
from gpusmote.errors import PlanError
from gpusmote.part import Part
from gpusmote.report import Report

__all__ = ["load", "save"]

FORMAT = 1
_FROM_X = "values"
_ON_HOST = ("key",)


def save(path: str | os.PathLike[str], backend: Backend, table: Table, target: Target, parts: list[Part]) -> None:
    """See :meth:`gpusmote.Plan.save`."""
    classes = target.classes
    as_text = classes.dtype == object
    if as_text:
        if not all(isinstance(label, str) for label in classes):
            raise PlanError(
                f"Labels of type {type(classes[0]).__name__} cannot be written.",
                "Use numbers or strings as labels.",
            )
        classes = classes.astype(str)
    header = {
        "format": FORMAT,
        "n_parts": len(parts),
        "fingerprint": table.fingerprint(),
        "shape": [table.n_rows, table.n_features],
        "work_dtype": table.work_dtype.str,
        "labels_as_objects": as_text,
    }
    arrays = {"header": np.array(json.dumps(header)), "classes": classes, "codes": _narrow(target.codes)}
    for number, part in enumerate(parts):
        for field in dataclasses.fields(Part):
            value = getattr(part, field.name)
            if field.name != _FROM_X and value is not None:
                arrays[f"{number}.{field.name}"] = _narrow(
                    backend.to_host(np.asarray(value) if np.isscalar(value) else value)
                )
    _write_whole(Path(path), arrays)


def _narrow(a: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest dtype that holds them."""
    if a.dtype != np.int64 or not a.size:
        return a
    return a.astype(np.promote_types(np.min_scalar_type(a.min()), np.min_scalar_type(a.max())))


def _write_whole(path: Path, arrays: dict[str, np.ndarray]) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load(path: str | os.PathLike[str], X: Any, device: str) -> tuple[Backend, Table, Target, list[Part], Report]:
    """See :meth:`gpusmote.Plan.load`."""
    stored = _read(path)
    header = json.loads(str(stored["header"]))
    if header["format"] != FORMAT:
        raise PlanError(
            f"{path} is a plan of format {header['format']}; this gpusmote reads format {FORMAT}.",
            "Read it with the version that wrote it.",
        )
    table = wrap_features(X)
    table.check_finite()
    backend, reason = select(device, 0.0, table.device)
    found = {"shape": [table.n_rows, table.n_features], "work_dtype": table.work_dtype.str}
    found["fingerprint"] = table.fingerprint()
    for what, value in found.items():
        if value != header[what]:
            raise PlanError(
                f"{path} was made from another X: its {what} is {header[what]}, that of this X {value}.",
                "Load it beside the table that it was planned for, with the same values, order and precision.",
            )
    classes = stored["classes"].astype(object) if header["labels_as_objects"] else stored["classes"]
    target = wrap_target(classes[stored["codes"]], table.n_rows)
    with backend.active():
        parts = [_part(stored, number, table, backend) for number in range(header["n_parts"])]
    return backend, table, target, parts, Report(device=backend.label, reason=reason)


def _read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            stored = dict(archive)
            if "header" not in stored:
                raise KeyError("header")
            return stored
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise PlanError(f"{path} is not a plan: {error}.", "Write one with plan.save(path).") from error


def _part(stored: dict[str, np.ndarray], number: int, table: Table, backend: Backend) -> Part:
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(Part):
        value = stored.get(f"{number}.{field.name}")
        if value is None:
            continue
        if value.ndim == 0:
            fields[field.name] = int(value)
        elif field.name in _ON_HOST:
            fields[field.name] = value
        else:
            fields[field.name] = backend.asarray(value) if value.dtype.kind == "f" else backend.integers(value)
    rows = stored[f"{number}.rows"].astype(np.int64)
    return Part(values=table.take(rows, backend), **fields)
