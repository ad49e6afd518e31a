"""What the process grows by: never beyond the limit, nor beyond the estimate."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pyarrow as pa
import pytest

from gpusmote import SMOTE, BorderlineSMOTE
from gpusmote.errors import MemoryLimitError
from gpusmote.files import resample_file
from tests.files.helpers import write
from tests.test_atomic_write import python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="only the kernel of Linux says how large a process was"
    ),
]

RUN = """
import json, sys
import gpusmote.files.engine
from gpusmote import SMOTE, BorderlineSMOTE
from gpusmote.files import resample_file
source, out, limit, kind = sys.argv[1:]
def size(of):
    (line,) = [line for line in open("/proc/self/status") if line.startswith(of)]
    return 1024 * int(line.split()[1])
options = {"random_state": 0, "device": "cpu"}
sampler = SMOTE(**options) if kind == "SMOTE" else BorderlineSMOTE(kind=kind, **options)
before = size("VmRSS")
report = resample_file(source, out, target="y", sampler=sampler, percentage=100,
                       memory_limit=None if limit == "none" else limit)
print(json.dumps([size("VmHWM") - before, report.to_dict()]))
"""


def grown(source, limit, kind="SMOTE", out=None):
    """By how many bytes a process grew after its imports, and the report."""
    out = out or source.with_name("out" + source.suffix)
    done = python("-c", RUN, source, out, limit, kind)
    out.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(source.name, limit, kind, found[0] / 1e6, found[1]["peak_estimate"] / 1e6)
    return found


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """``big(form, megabytes, columns)``: two classes, two rows in a hundred of the second; written once."""
    folder, made = tmp_path_factory.mktemp("big"), {}

    def source(form, megabytes, d=10):
        if (form, megabytes, d) not in made:
            rng, rows = np.random.default_rng(0), int(megabytes * 1e6 / (8 * d))
            columns = {f"x{j}": rng.normal(size=rows) for j in range(d)}
            data = pa.table({**columns, "y": (rng.random(rows) < 0.02).astype(np.int8)})
            made[form, megabytes, d] = write(data, folder / f"{megabytes}-{d}{form}", row_group_size=50_000)
        return made[form, megabytes, d]

    return source


@pytest.mark.parametrize(
    ("form", "megabytes", "limit", "kind"),
    [
        (".parquet", 50, "64MB", "SMOTE"),
        (".parquet", 6, "64MB", "borderline-1"),
        (".parquet", 6, "100MB", "borderline-2"),
        (".csv", 20, "64MB", "SMOTE"),
        (".csv", 6, "100MB", "borderline-1"),
        (".arrow", 50, "64MB", "SMOTE"),
        (".arrow", 6, "64MB", "borderline-2"),
    ],
)
def test_the_process_does_not_grow_beyond_the_limit(big, form, megabytes, limit, kind):
    source = big(form, megabytes)
    growth, report = grown(source, limit, kind)
    assert growth < report["memory_limit"] == int(limit[:-2]) * 10**6
    assert growth <= report["peak_estimate"] <= report["memory_limit"]
    assert report["n_synthetic"] > 0


@pytest.mark.parametrize(
    ("form", "megabytes", "d"), [(".parquet", 120, 10), (".parquet", 60, 40), (".csv", 20, 10), (".arrow", 50, 10)]
)
def test_without_a_limit_the_estimate_is_an_upper_bound(big, form, megabytes, d):
    growth, report = grown(big(form, megabytes, d), "none")
    assert growth <= report["peak_estimate"]


@pytest.mark.parametrize("form", [".parquet", ".csv", ".arrow"])
@pytest.mark.parametrize("kind", ["SMOTE", "borderline-1"])
def test_the_least_limit_that_an_error_names_is_kept(big, form, kind):
    source = big(form, 50 if kind == "SMOTE" and form != ".csv" else 2)
    out = source.with_name("out" + source.suffix)
    sampler = SMOTE() if kind == "SMOTE" else BorderlineSMOTE(kind=kind)
    with pytest.raises(MemoryLimitError) as caught:
        resample_file(source, out, target="y", sampler=sampler, percentage=100, memory_limit="1MB")
    (least,) = re.findall(r"memory_limit=(\d+) is the least", caught.value.hint)
    growth, report = grown(source, least, kind)
    assert growth <= report["peak_estimate"] <= int(least)


def test_a_small_file_takes_little(big):
    for form in (".parquet", ".csv", ".arrow"):
        assert grown(big(form, 1), "none")[0] < 45e6


def test_what_is_held_does_not_grow_with_the_file(big):
    for form, megabytes in ((".parquet", 50), (".csv", 20), (".arrow", 50)):
        source = big(form, megabytes)
        growth, report = grown(source, "64MB", out=source.with_name("out.parquet"))
        assert growth < source.stat().st_size
        rows = sum(report["classes"][i]["before"] for i in range(2))
        assert rows * 81 > 0.9 * megabytes * 1e6
