"""Small tables in files, and the command line in this process."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from gpusmote.cli import main


class Ended(NamedTuple):
    status: int
    out: str
    err: str


def gpusmote(*arguments: object) -> Ended:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return Ended(status, out.getvalue(), err.getvalue())


def table(n_rows: int = 120, n_rare: int = 20) -> pa.Table:
    """Two overlapping classes in random order; the label is not the last column."""
    rng = np.random.default_rng(7)
    rare = rng.permutation(n_rows) < n_rare
    return pa.table(
        {
            "height": rng.normal(size=n_rows) + rare,
            "kind": np.where(rare, "rare", "common"),
            "age": rng.integers(18, 90, n_rows),
            "weight": rng.normal(70, 9, n_rows).astype(np.float32),
        }
    )


def write(data: pa.Table, path: Path) -> Path:
    if path.name.endswith((".csv", ".csv.gz", ".csv.zst")):
        codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
        with pa.output_stream(path, compression=codec) as stream:
            pa.csv.write_csv(data, stream)
    elif path.suffix == ".parquet":
        pa.parquet.write_table(data, path)
    else:
        pa.feather.write_feather(data, path, compression="lz4" if path.suffix == ".feather" else "uncompressed")
    return path


def read(path: Path) -> pa.Table:
    if ".csv" in path.suffixes:
        return pa.csv.read_csv(path)
    return pa.parquet.read_table(path) if path.suffix == ".parquet" else pa.feather.read_table(path)
