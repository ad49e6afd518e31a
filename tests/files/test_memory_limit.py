"""Limits: the one that an error asks for works, and those of the call, the sampler and the configuration are merged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import MappingProxyType

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import gpusmote
from gpusmote import ADASYN, SMOTE, BorderlineSMOTE, resample_file
from gpusmote.backends.budget import Limit
from gpusmote.cli.dry_run import forecast
from gpusmote.errors import MemoryLimitError, ParameterError
from gpusmote.files.memory import FileMemory, file_memory, least_limit
from gpusmote.files.sources import row_bytes
from tests.files.helpers import table, write
from tests.standin.install import cuda

__all__ = ["cuda"]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(needed=st.integers(0, 1 << 34), table=st.integers(1, 1 << 30))
def test_the_least_limit_is_enough_and_one_byte_less_is_not(needed, table):
    """Blocks are cut to a share of the limit, so that the limit grows with what is needed beside them."""

    def fits(limit):
        return needed + min(table, FileMemory(Limit("cpu", limit, True), {}).blocks) <= limit

    least = least_limit(needed, table)
    assert fits(least)
    assert not fits(least - 1)


@pytest.mark.parametrize("limit", [1, 10**7, 64 * 10**6, 10**9, 10**12, None])
def test_all_blocks_together_keep_within_their_share(limit):
    schema = pa.schema([(f"x{j}", pa.float64()) for j in range(10)])
    memory = FileMemory(Limit("cpu", limit, True), {})
    group, batch = (rows(schema) * row_bytes(schema) for rows in (memory.group_rows, memory.batch_rows))
    read_ahead = 26 * memory.text_bytes  # that many blocks of text pyarrow keeps, measured
    assert 1.15 * read_ahead + 1.85 * group + 2 * batch <= memory.blocks
    assert limit is None or memory.blocks <= max(8 << 20, limit // 5)


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["10KB", "34MB", "37MB", "50MB"])
@pytest.mark.parametrize(
    "sampler",
    [
        SMOTE(),
        SMOTE(k_neighbors=200),
        SMOTE(bit_generator="mt19937"),
        BorderlineSMOTE(),
        BorderlineSMOTE(k_neighbors=150),
        ADASYN(n_neighbors=150),
    ],
    ids=["few", "many", "legacy", "borderline", "both", "adasyn"],
)
def test_what_a_refused_run_asks_for_is_enough_and_the_plan_says_the_same(limit, sampler, tmp_path):
    source, out = write(table(12_000), tmp_path / "in.parquet"), tmp_path / "out.parquet"
    sampler = clone(sampler).set_params(device="cpu", random_state=0)
    plan, refusal = forecast(source, target="class", sampler=sampler, memory_limit=limit)
    refused = None
    try:
        resample_file(source, out, target="class", sampler=sampler, memory_limit=limit)
    except MemoryLimitError as error:
        refused = error
    assert str(refusal) == str(refused)
    assert (plan["bytes"]["peak"] > plan["bytes"]["limit"]) == (refused is not None)
    if refused is not None:
        assert not out.exists()
        least = int(re.match(r"memory_limit=(\d+) is the least that works", refused.hint)[1])
        assert forecast(source, target="class", sampler=sampler, memory_limit=least)[1] is None
        resample_file(source, out, target="class", sampler=sampler, memory_limit=least)


@pytest.mark.parametrize(
    ("call", "sampler", "configured", "merged"),
    [
        (None, None, None, {}),
        ("10MB", None, None, {"cpu": 10**7}),
        ("10MB", {"cuda": "20MB"}, None, {"cpu": 10**7, "cuda": 2 * 10**7}),
        ("10MB", MappingProxyType({"cpu": "30MB", "cuda": "20MB"}), None, {"cpu": 10**7, "cuda": 2 * 10**7}),
        (MappingProxyType({"cuda": 5}), {"cpu": "30MB", "cuda": "20MB"}, None, {"cpu": 3 * 10**7, "cuda": 5}),
        ("10MB", None, {"cuda": 0.5}, {"cpu": 10**7, "cuda": 0.5}),
        ("10MB", {"cuda": 7}, {"cpu": 8, "cuda": 9}, {"cpu": 10**7, "cuda": 7}),
        (None, "20MB", None, {"cpu": 2 * 10**7, "cuda": 2 * 10**7}),
        ("10MB", "20MB", "30MB", {"cpu": 10**7, "cuda": 2 * 10**7}),
        (None, None, {"cuda": 9}, {"cuda": 9}),
    ],
)
def test_limits_of_call_sampler_and_configuration_are_merged(call, sampler, configured, merged):
    with gpusmote.config_context(memory_limit=configured):
        memory = file_memory(call, SMOTE(memory_limit=sampler))
    assert memory.asked == merged
    assert memory.limit.given == ("cpu" in merged)
    assert merged.get("cpu", memory.limit.bytes) == memory.limit.bytes
    left = memory.search_limit(5)
    if "cpu" in merged:
        assert left["cpu"] + 5 == merged["cpu"]
        assert {**left, "cpu": 0} == {**merged, "cpu": 0}
    else:
        assert left == (merged or None)


def test_a_limit_that_is_none():
    for limit in ("much", {"gpu": 1}, 0):
        with pytest.raises(ParameterError, match="memory_limit"):
            file_memory(limit, SMOTE())
        with pytest.raises(ParameterError, match="memory_limit"):
            file_memory("1GB", SMOTE(memory_limit=limit))


def test_a_limit_of_the_device_stays_beside_one_of_the_call(tmp_path, cuda):
    source = write(table(3000), tmp_path / "in.parquet")
    limits = MappingProxyType({"cuda": 50_000})
    sampler = SMOTE(device="cuda", memory_limit=limits)
    cuda()
    with pytest.raises(MemoryLimitError, match=r"memory_limit allows 50,000 bytes on the device"):
        resample_file(source, tmp_path / "out.parquet", target="class", sampler=sampler, memory_limit="1GB")
    assert sampler.memory_limit is limits


_LIMITED = """
import resource, sys
import pyarrow.csv, sklearn.utils
from gpusmote import SMOTE, resample_file
from gpusmote.errors import MemoryLimitError

limit, used, left, source = sys.argv[1], sys.argv[2], int(sys.argv[3]) << 20, sys.argv[4]
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
resource.setrlimit(getattr(resource, limit), (int(status[used].split()[0]) * 1024 + left,) * 2)
try:
    resample_file(source, source + ".out.csv", target="class", sampler=SMOTE(random_state=0))
except MemoryLimitError:
    print("refused")
else:
    print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says in /proc/self/status what a process uses")
@pytest.mark.parametrize(("limit", "used"), [("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")])
@pytest.mark.parametrize(("left", "expected"), [(12, "refused"), (2000, "done")])
def test_what_a_limit_on_the_process_does_not_allow_is_refused_before_a_file_is_read(
    limit, used, left, expected, tmp_path
):
    """pyarrow, that finds no memory for its threads, would hang."""
    source = write(table(), tmp_path / "in.csv")
    command = [sys.executable, "-c", _LIMITED, limit, used, str(left), str(source)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.stdout.strip(), ended.returncode) == (expected, 0), ended.stderr
