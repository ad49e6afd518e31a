"""Files of plans.

A file has a line with the number of the format, a header (one line of JSON), all arrays in one gzip stream, and a
digest of everything before it. The header has the dtype and the shape of each array. So a damaged file, a different X,
and arrays that exceed ``memory_limit`` are refused before the arrays are decompressed.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import json
import math
import os
import re
import sys
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from gpusmote.atomic_write import whole_files
from gpusmote.backends import Array, Backend, select
from gpusmote.backends.budget import Sizes, arrange, limits_of
from gpusmote.config import setting
from gpusmote.containers import Table, Target, wrap_features, wrap_rows, wrap_target
from gpusmote.containers.row_table import RowTable
from gpusmote.errors import InputError, PlanError
from gpusmote.io_errors import reading, writing
from gpusmote.synthesis.class_plan import ClassPlan
from gpusmote.synthesis.generators import GENERATORS
from gpusmote.synthesis.report import Report

__all__ = ["load", "save"]

FORMAT = 3
_MAGIC = b"gpusmote plan, format "
_DIGEST_BYTES = 32
_BLOCK_BYTES = 1 << 20
_HEADER_BYTES = 16 << 20  # JSON takes many times its length in memory
_LARGEST = 2**63 - 1
_DTYPE = re.compile(r"[<>|][biufUSmM]\d{1,9}(\[\w+\])?")  # of dtype.str; not objects, which would have to be pickled

_FIELDS = {  # fields of a ClassPlan, and the points that are not rows of X: kinds of dtype, shape
    "rows": ("iu", ("n_values",)),
    "seeds": ("iu", ("n_seeds",)),
    "neighbors": ("iu", ("n_seeds", "k")),
    "key": ("u", (2,)),
    "ends": ("iu", ("n_seeds",)),
    "low": ("f", ("n_seeds", "k")),
    "width": ("f", ("n_seeds", "k")),
    "picks": ("iu", ("n_new",)),
    "gaps": ("f", ("n_new",)),
    "points": ("f", ("n_points", "n_features")),
}
_ALWAYS = {"rows", "seeds", "neighbors", "key"}
_TOGETHER = ({"low", "width"}, {"picks", "gaps"})


def save(path: str | os.PathLike[str], table: Table, target: Target, backend: Backend, parts: list[ClassPlan]) -> None:
    """See :meth:`gpusmote.Plan.save`."""
    arrays = [_narrow(target.codes)]
    header: dict[str, Any] = {
        "fingerprint": table.fingerprint(),
        "shape": [table.n_rows, table.n_features],
        "work_dtype": table.work_dtype.str,
        "codes": arrays[0].dtype.str,
    }
    if _DTYPE.fullmatch(target.classes.dtype.str):
        arrays.append(target.classes)
        header["classes"] = {"dtype": target.classes.dtype.str, "size": len(target.classes)}
    else:
        header["classes"] = _as_json(target.classes)
    header["parts"] = []
    for part in parts:
        found = {name: getattr(part, name) for name in _FIELDS if name != "points"}
        in_x = int((part.rows >= 0).sum())  # the points come last
        if in_x < len(part.rows):
            found["rows"], found["points"] = part.rows[:in_x], backend.to_float64(part.values[in_x:])
        stored = {name: _narrow(backend.to_host(value)) for name, value in found.items() if value is not None}
        n_seeds, k = stored["neighbors"].shape
        header["parts"].append(
            {
                "generator": part.generator,
                "position": part.position,
                "n_new": part.n_new,
                "n_values": in_x,
                "n_points": len(part.rows) - in_x,
                "n_seeds": n_seeds,
                "k": k,
                "dtypes": {name: array.dtype.str for name, array in stored.items()},
            }
        )
        arrays += stored.values()
    text = json.dumps(header).encode()
    if len(text) >= _HEADER_BYTES:
        raise PlanError("The labels are too long for a file of a plan.", "Use whole numbers or shorter text.")
    with whole_files([path], force=True) as (file,), writing(path):
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for piece in _pieces(b"%b%d\n%b\n" % (_MAGIC, FORMAT, text), arrays):
            digest.update(piece)
            file.write(piece)
        file.write(digest.digest())


def _pieces(head: bytes, arrays: list[np.ndarray]) -> Iterator[bytes]:
    """The content of the file, without the digest."""
    yield head
    compress = zlib.compressobj(wbits=31)  # gzip's format, without a time
    for array in arrays:
        data = _bytes_of(np.ascontiguousarray(array))
        for start in range(0, len(data), _BLOCK_BYTES):
            yield compress.compress(data[start : start + _BLOCK_BYTES])
    yield compress.flush()


def _bytes_of(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data if array.nbytes else memoryview(b"")


def _as_json(classes: np.ndarray) -> list[Any]:
    """Labels that are Python objects as JSON, because loading a pickle could run any code."""
    labels: list[Any] = classes.tolist()
    for label in labels:
        if type(label) not in (str, int, float, bool):
            raise PlanError(f"Labels of type {type(label).__name__} cannot be written.", "Use numbers or strings.")
    return labels


def _narrow(a: np.ndarray) -> np.ndarray:
    """An int64 array in the smallest dtype that holds its values; other arrays unchanged."""
    if a.dtype != np.int64 or not a.size:
        return a
    return a.astype(np.promote_types(np.min_scalar_type(a.min()), np.min_scalar_type(a.max())))


def load(
    path: str | os.PathLike[str], X: Any, y: Any, device: str
) -> tuple[Backend, Table, Target, list[ClassPlan], Report]:
    """See :meth:`gpusmote.Plan.load`."""
    name = os.fspath(path)
    with open(path, "rb") as file:
        header = _read_header(name, file)
        layout = _layout(name, header)
        table = wrap_rows(X) if header["work_dtype"] == RowTable.work_dtype.str else wrap_features(X)
        table.check_finite()
        backend, reason = select("cpu" if table.sparse else device, 0.0, table.device)
        found = {
            "shape": [table.n_rows, table.n_features],
            "work_dtype": table.work_dtype.str,
        }
        _refuse_another_x(name, header, found)
        backend = _cut_to_limit(header, layout, table, backend)
        _refuse_another_x(name, header, {"fingerprint": table.fingerprint()})
        arrays = _unpacked(name, file, layout)
        target = _target(name, header, arrays, y, table.n_rows)
        with backend.active():
            parts = [_part(name, sizes, arrays, table, target, backend) for sizes in header["parts"]]
    positions = [part.position for part in parts]
    if positions != sorted(positions) or sum(part.n_new for part in parts) > _LARGEST:
        raise _damaged(name, "its classes are out of order or too large")
    return backend, table, target, parts, Report(device=backend.name, reason=reason)


def _damaged(name: str, what: str) -> PlanError:
    return PlanError(f"{name} is not a plan, or it is damaged: {what}.", "plan.save(path) writes a plan.")


def _read_header(name: str, file: BinaryIO) -> Any:
    """Check the digest and read the header; the arrays follow at the position of the file."""
    first = file.readline(len(_MAGIC) + 20)
    if not first.startswith(_MAGIC):
        raise _damaged(name, "its first line is not that of a plan")
    number = first[len(_MAGIC) :].strip().decode(errors="replace")
    if number != str(FORMAT):
        raise PlanError(
            f"{name} is a plan of format {number}; this gpusmote reads format {FORMAT}.",
            "Read it with the version that wrote it, or make the plan again.",
        )
    with reading(name):
        left = file.seek(0, os.SEEK_END) - _DIGEST_BYTES
        file.seek(0)
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        while left > 0 and (piece := file.read(min(left, _BLOCK_BYTES))):
            digest.update(piece)
            left -= len(piece)
        if file.read() != digest.digest():
            raise _damaged(name, "its content does not match its digest")
        file.seek(len(first))
        text = file.readline(_HEADER_BYTES)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(name, "its header cannot be read") from error


@dataclasses.dataclass(frozen=True)
class _Stored:
    """Dtype and shape of an array in the file."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize


def _layout(name: str, header: Any) -> list[_Stored]:
    """All arrays in order: codes, classes if they are not in the header, then the fields of each part."""
    try:
        n_rows, n_features = map(_size, header["shape"])
        if not (type(header["fingerprint"]) is type(header["work_dtype"]) is str and n_features):
            raise TypeError("fingerprint")
        found = [_Stored(_dtype(header["codes"], "iu"), (n_rows,))]
        if isinstance(header["classes"], dict):
            found.append(_Stored(_dtype(header["classes"]["dtype"]), (_size(header["classes"]["size"]),)))
        elif not {type(label) for label in header["classes"]} <= {str, int, float, bool}:
            raise TypeError("classes")
        for part in header["parts"]:
            names = set(part["dtypes"])
            if part["generator"] not in (GENERATORS if header["work_dtype"] != RowTable.work_dtype.str else ["copy"]):
                raise ValueError("generator")
            if not _ALWAYS <= names <= set(_FIELDS) or any(0 < len(names & pair) < 2 for pair in _TOGETHER):
                raise KeyError("dtypes")
            if not all(_size(part[size]) for size in ("n_new", "n_values", "n_seeds", "k")):
                raise ValueError("sizes")
            _size(part["position"])
            if bool(_size(part["n_points"])) != ("points" in names):
                raise ValueError("n_points")
            axes_of = {**part, "n_features": n_features}
            for field, (kinds, axes) in _FIELDS.items():
                if field in names:
                    shape = tuple(axes_of[axis] if isinstance(axis, str) else axis for axis in axes)
                    found.append(_Stored(_dtype(part["dtypes"][field], kinds), shape))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(name, "its header is incomplete or wrong") from error
    return found


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError(value)
    return value


def _dtype(text: Any, kinds: str = "") -> np.dtype:
    """A dtype from the header; in a part, floats must be float64 and keys uint64."""
    if not _DTYPE.fullmatch(text):
        raise ValueError(text)
    dtype: np.dtype = np.dtype(text)
    if kinds and (dtype.kind not in kinds or (kinds in ("f", "u") and dtype.itemsize != 8)):
        raise ValueError(text)
    return dtype


def _refuse_another_x(name: str, header: dict[str, Any], found: dict[str, Any]) -> None:
    for what, value in found.items():
        if value != header[what]:
            raise PlanError(
                f"{name} was made from another X: its {what} is {header[what]}, this X has {value}.",
                "Pass the table that the plan was made from, with the same values, order and dtype.",
            )


def _cut_to_limit(header: dict[str, Any], layout: list[_Stored], table: Table, backend: Backend) -> Backend:
    """The backend with its working memory; raises MemoryLimitError if the plan exceeds ``memory_limit``."""
    classes = tuple((0, part["n_new"]) for part in header["parts"])
    itemsize, entries = table.work_dtype.itemsize, table.entries() if table.sparse else None
    sizes = Sizes(table.n_rows, table.n_features, itemsize, classes, table.result_bytes, entries=entries)
    rows = sum(part["n_values"] + part["n_points"] for part in header["parts"])
    label = layout[1].dtype.itemsize if isinstance(header["classes"], dict) else 8
    plan = (
        sizes.values(rows, itemsize) + sum(max(8 * array.size, array.nbytes) for array in layout) + table.n_rows * label
    )
    limits = limits_of(setting("memory_limit"), backend, plan)
    return backend.within(arrange(sizes, backend.name, table.device, limits, output=False).memory)


def _unpacked(name: str, file: BinaryIO, layout: list[_Stored]) -> Iterator[np.ndarray]:
    """Decompress the arrays one by one."""
    stream = gzip.GzipFile(fileobj=file)
    for stored in layout:
        with reading(name):
            try:
                array = np.empty(stored.shape, stored.dtype)
                _fill(_bytes_of(array), stream)
            except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise _damaged(name, "its arrays cannot be decompressed") from error
        yield array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _fill(data: memoryview, stream: gzip.GzipFile) -> None:
    start = 0
    while start < len(data):
        piece = stream.read(min(_BLOCK_BYTES, len(data) - start))
        if not piece:
            raise EOFError
        data[start : start + len(piece)] = piece
        start += len(piece)


def _target(name: str, header: dict[str, Any], arrays: Iterator[np.ndarray], y: Any, n_rows: int) -> Target:
    """The target from y, which must equal the labels in the file, or from the file if y is None."""
    codes = next(arrays)
    in_header = not isinstance(header["classes"], dict)
    classes = np.array(header["classes"], object) if in_header else next(arrays)
    # NumPy cannot read text with a character that does not exist.
    if classes.dtype.kind == "U" and not _within(np.ascontiguousarray(classes).view(np.uint32), 0, sys.maxunicode):
        raise _damaged(name, "its classes are not text")
    if not _within(codes, 0, len(classes) - 1):
        raise _damaged(name, "it has a label without a class")
    if y is None:
        try:
            target = wrap_target(classes[codes], n_rows)
        except InputError as error:
            raise PlanError(
                f"The labels in {name} cannot be used: {error.message}", "Pass the y that the plan was made from."
            ) from error
    else:
        target = wrap_target(y, n_rows)
    if target.classes.tolist() == classes.tolist() and np.array_equal(target.codes, codes):
        return target
    if y is None:
        raise _damaged(name, "its classes do not match its labels")
    raise PlanError(f"{name} was made from another y.", "Pass the y that the plan was made from.")


def _within(array: np.ndarray, low: float, high: float) -> bool:
    """Whether all values are between these bounds; False if there are NaN."""
    return not array.size or bool(low <= array.min() and array.max() <= high)


def _part(
    name: str, sizes: dict[str, Any], arrays: Iterator[np.ndarray], table: Table, target: Target, backend: Backend
) -> ClassPlan:
    n_new, n_seeds, k = (sizes[size] for size in ("n_new", "n_seeds", "k"))
    last = sizes["n_values"] + sizes["n_points"] - 1
    largest = float(np.finfo(np.float64).max)
    finite = float(np.finfo(table.work_dtype).max) if table.numeric else 0.0
    bounds: dict[str, tuple[float, float]] = {
        "rows": (0, table.n_rows - 1),
        "seeds": (0, last),
        "neighbors": (0, last),
        "ends": (0, n_new),
        "low": (-largest, largest),
        "width": (-largest, largest),
        "points": (-finite, finite),
        "picks": (0, (k if "ends" in sizes["dtypes"] else n_seeds * k) - 1),
        "gaps": (0, 1),
    }
    stored = {field: next(arrays) for field in _FIELDS if field in sizes["dtypes"]}
    for field, (low, high) in bounds.items():
        if field in stored and not _within(stored[field], low, high):
            raise _damaged(name, f"{field} of a class are not between {low} and {high}")
    ends = stored.get("ends")
    if ends is not None and (ends[-1] != n_new or (ends[1:] < ends[:-1]).any()):
        raise _damaged(name, f"ends of a class do not increase to its {n_new} rows")
    if sizes["position"] >= len(target.classes):
        raise _damaged(name, "it has a class without a label")

    def placed(array: np.ndarray) -> Array:
        return backend.asarray(array) if array.dtype.kind == "f" else backend.integers(array)

    xp, rows = backend.xp, stored["rows"].astype(np.int64)
    take = table.take_sparse if table.sparse else functools.partial(table.take, backend=backend)
    values = take(rows) if table.numeric else xp.empty((len(rows), 0))
    if "points" in stored:
        values = backend.stack(values, backend.asarray(stored.pop("points").astype(values.dtype)))
        stored["rows"] = np.concatenate([rows, np.full(sizes["n_points"], -1)])
    fields = {field: array if field == "key" else placed(array) for field, array in stored.items()}
    return ClassPlan(sizes["position"], n_new, values, **fields, generator=sizes["generator"])
