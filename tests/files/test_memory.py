"""A table passes through in blocks: what is held does not grow with it."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.files.helpers import write
from tests.files.test_whole import python

RUN = """
import json, sys, threading, tracemalloc
import pyarrow as pa
from gpusmote import SMOTE
from gpusmote.files import resample_file
import gpusmote.files.engine
source, out, limit = sys.argv[1:]
held = {}
def note(stage, done, total):
    held[stage] = max(held.get(stage, 0), tracemalloc.get_traced_memory()[0])
tracemalloc.start()
report = resample_file(source, out, target="y", sampler=SMOTE(random_state=0, sampling_strategy=0.02),
                       memory_limit=limit, progress=note)
print(json.dumps([pa.default_memory_pool().max_memory(), held["copy"], held["make"], report.to_dict()]))
"""


def big(rows, d=10):
    """Two classes, three rows in a thousand of the second."""
    rng = np.random.default_rng(0)
    columns = {f"x{j}": rng.normal(size=rows) for j in range(d)}
    return pa.table({**columns, "y": (rng.random(rows) < 0.003).astype(np.int8)})


@pytest.mark.parametrize("form", [".parquet", ".csv"])
def test_sixty_megabytes_within_forty(tmp_path, form):
    rows = 700_000 if form != ".csv" else 300_000
    source = write(big(rows), tmp_path / f"in{form}", row_group_size=50_000)
    assert source.stat().st_size > 55e6
    done = python("-c", RUN, source, tmp_path / "out.parquet", "60MB")
    assert done.returncode == 0, done.stderr
    pool, copying, making, report = json.loads(done.stdout)
    assert pool < 30e6  # pyarrow's buffers, at their most
    assert pool + max(copying, making) < 40e6  # with NumPy's
    assert report["rows_before"] == rows
    assert report["peak_estimate"] < 200e6  # with the search's own blocks
    found = pq.ParquetFile(tmp_path / "out.parquet")
    assert found.metadata.num_rows == report["rows_after"]
