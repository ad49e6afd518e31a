"""Plans on disk: a NumPy archive without pickles."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
import zlib
from typing import Any

import numpy as np

from gpusmote.arrays import Table, Target, wrap_features, wrap_target
from gpusmote.backends import Backend, select
from gpusmote.config import setting
from gpusmote.errors import PlanError
from gpusmote.estimate import arrange_rows, limits_of
from gpusmote.files.problems import writing
from gpusmote.files.whole import whole_files
from gpusmote.footprint import Shape
from gpusmote.part import Part
from gpusmote.report import Report

__all__ = ["load", "save"]

FORMAT = 1
_FROM_X = "values"
_ON_HOST = ("key",)
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)
_PLAIN = "biufUSmM"  # kinds of labels that an archive holds as they are


def save(path: str | os.PathLike[str], table: Table, target: Target, backend: Backend, parts: list[Part]) -> None:
    """See :meth:`gpusmote.Plan.save`."""
    header = {
        "format": FORMAT,
        "n_parts": len(parts),
        "fingerprint": table.fingerprint(),
        "shape": [table.n_rows, table.n_features],
        "work_dtype": table.work_dtype.str,
    }
    arrays = {"codes": _narrow(target.codes)}
    if target.classes.dtype.kind in _PLAIN:
        arrays["classes"] = target.classes
    else:
        header["classes"] = _as_json(target.classes)
    arrays["header"] = np.array(json.dumps(header))
    for number, part in enumerate(parts):
        for field in dataclasses.fields(Part):
            value = getattr(part, field.name)
            if field.name != _FROM_X and value is not None:
                on_host = backend.to_host(np.asarray(value) if np.isscalar(value) else value)
                arrays[f"{number}.{field.name}"] = _narrow(on_host)
    with whole_files([path], force=True) as (file,), writing(path):
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _as_json(classes: np.ndarray) -> list[Any]:
    """Labels that are Python objects: an array of them would be pickled, and a pickle runs code."""
    labels: list[Any] = classes.tolist()
    for label in labels:
        if type(label) not in (str, int, float, bool):
            raise PlanError(f"Labels of type {type(label).__name__} cannot be written.", "Use numbers or strings.")
    return labels


def _narrow(a: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest dtype that holds them."""
    if a.dtype != np.int64 or not a.size:
        return a
    return a.astype(np.promote_types(np.min_scalar_type(a.min()), np.min_scalar_type(a.max())))


def load(
    path: str | os.PathLike[str], X: Any, y: Any, device: str
) -> tuple[Backend, Table, Target, list[Part], Report]:
    """See :meth:`gpusmote.Plan.load`."""
    header, stored = _read(path)
    table = wrap_features(X)
    table.check_finite()
    backend, reason = select(device, 0.0, table.device)
    found = {
        "shape": [table.n_rows, table.n_features],
        "work_dtype": table.work_dtype.str,
        "fingerprint": table.fingerprint(),
    }
    for what, value in found.items():
        if value != header[what]:
            raise PlanError(
                f"{path} was made from another X: its {what} is {header[what]}, that of this X {value}.",
                "Load it beside the table that it was planned for, with the same values, order and precision.",
            )
    target = _target(path, header, stored, y, table.n_rows)
    _keep_within(stored, header["n_parts"], table, backend)
    with backend.active():
        parts = [_part(stored, number, table, backend) for number in range(header["n_parts"])]
    return backend, table, target, parts, Report(device=backend.name, reason=reason)


def _keep_within(stored: dict[str, np.ndarray], n_parts: int, table: Table, backend: Backend) -> None:
    """Cut the making of rows within ``memory_limit``, or refuse a plan that is too large for it."""
    width = table.n_features * table.work_dtype.itemsize
    numbers = [stored[name] for name in stored if name.partition(".")[0].isdecimal()]
    rows = sum(stored[f"{number}.rows"].size for number in range(n_parts))
    plan = rows * width + sum(array.size * 8 for array in numbers)
    new = tuple((0, int(stored[f"{number}.n_new"])) for number in range(n_parts))
    shape = Shape.of(table, new, n_rows=0)
    limits = limits_of(setting("memory_limit"), backend)
    backend.cut = arrange_rows(shape, backend.name, table.device, limits, plan, output=False)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a file of this format."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            stored = dict(archive)
        header = json.loads(str(stored["header"]))
        number = header["format"]
        if number == FORMAT and not {"n_parts", "fingerprint", "shape", "work_dtype"} <= header.keys():
            raise KeyError("header")
    except _DAMAGE as error:
        raise PlanError(f"{path} is not a plan, or damaged.", "Write one with plan.save(path).") from error
    if number != FORMAT:
        raise PlanError(
            f"{path} is a plan of format {number}; this gpusmote reads format {FORMAT}.",
            "Read it with the version that wrote it.",
        )
    return header, stored


def _target(
    path: str | os.PathLike[str], header: dict[str, Any], stored: dict[str, np.ndarray], y: Any, n_rows: int
) -> Target:
    """The labels: the caller's, if they are those of the plan, or those of the file."""
    classes = np.array(header["classes"], object) if "classes" in header else stored["classes"]
    if y is None:
        return wrap_target(classes[stored["codes"]], n_rows)
    target = wrap_target(y, n_rows)
    if target.classes.tolist() != classes.tolist() or not np.array_equal(target.codes, stored["codes"]):
        raise PlanError(f"{path} was made from another y.", "Load it beside the labels that it was planned for.")
    return target


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
