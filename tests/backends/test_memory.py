"""How much memory is left, from files like those of the kernel."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gpusmote.backends import memory


def test_something_is_available_on_linux():
    assert memory.available() is None or memory.available() > 0


@pytest.fixture
def groups(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    monkeypatch.setattr(memory, "_process_limits", list)

    def group(name, limit, used, cached, old=False):
        memory._groups.cache_clear()  # which groups have a limit is read once per process
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        files = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")
        for file, value in zip(files, (limit, used), strict=True):
            (folder / file).write_text(f"{value}\n")
        (folder / "memory.stat").write_text(f"anon 5\n{'total_' if old else ''}inactive_file {cached}\n")

    return group


def test_a_groups_cache_does_not_count_as_used(groups, tmp_path):
    groups("job", 1000, 900, 300)
    assert memory._left(str(tmp_path / "job"), "memory.max", "memory.current", "inactive_file") == 400
    groups("job", 1000, 1400, 300)
    assert memory._left(str(tmp_path / "job"), "memory.max", "memory.current", "inactive_file") == 0


def test_no_limit_is_no_limit(groups, tmp_path):
    groups("job", "max", 900, 300)
    assert memory._left(str(tmp_path / "job"), "memory.max", "memory.current", "inactive_file") is None


def test_the_smallest_counts(groups, monkeypatch):
    monkeypatch.setattr(memory, "_kernel", lambda: 10_000)
    groups("memory", 5000, 1000, 0, old=True)
    assert memory.available() == 4000
    groups("", 3000, 1000, 500)
    assert memory.available() == 2500
    monkeypatch.setattr(memory, "_kernel", lambda: 7)
    assert memory.available() == 7


@pytest.mark.parametrize("limited", ["", "batch", "batch/job", "batch/job/step"])
@pytest.mark.parametrize(("line", "root", "old"), [("0::", "", False), ("7:cpu,memory:", "memory/", True)])
def test_each_group_above_the_process_counts(line, root, old, limited, groups, tmp_path, monkeypatch):
    """In both versions of control groups, whichever of them has the limit."""
    process = tmp_path / "process"
    process.mkdir()
    (process / "cgroup").write_text(f"3:cpuset:/other\n{line}/batch/job/step\n")
    monkeypatch.setattr(memory, "_PROCESS", process)
    monkeypatch.setattr(memory, "_kernel", lambda: 10_000)
    for name in ("", "batch", "batch/job", "batch/job/step"):
        free = 9_223_372_036_854_771_712 if old else "max"
        groups(root + name, 3000 if name == limited else free, 1000, 500, old)
    groups("other", 1, 1, 0, old)  # of another controller
    assert memory.available() == 2500


def test_a_group_of_the_host_that_a_container_does_not_see_leaves_the_containers_own(groups, tmp_path, monkeypatch):
    process = tmp_path / "process"
    process.mkdir()
    (process / "cgroup").write_text("4:memory:/docker/0a1b\n0::/../outside\n")
    monkeypatch.setattr(memory, "_PROCESS", process)
    monkeypatch.setattr(memory, "_kernel", lambda: 10_000)
    groups("memory", 3000, 1000, 500, old=True)
    assert memory.available() == 2500


_LIMITED = """
import resource, sys
import numpy as np
from gpusmote import SMOTE
from gpusmote.errors import MemoryLimitError, MemoryShortageError

limit, used, left = sys.argv[1], sys.argv[2], int(sys.argv[3]) << 20
X = np.random.default_rng(0).normal(size=(20_000, 20)).astype("f4")
y = np.repeat([0, 1], [15_000, 5_000])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
taken = int(status[used].split()[0]) * 1024
resource.setrlimit(getattr(resource, limit), (taken + left,) * 2)
try:
    SMOTE(random_state=0).fit_resample(X, y)
except MemoryShortageError as error:
    print("too late", error)
except MemoryLimitError as error:
    print("refused")
else:
    print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says in /proc/self/status what a process uses")
@pytest.mark.parametrize(("limit", "used"), [("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")])
@pytest.mark.parametrize(("left", "expected"), [(8, "refused"), (40, "refused"), (2000, "done")])
def test_what_a_limit_on_the_process_does_not_allow_is_refused_first(limit, used, left, expected):
    """OpenBLAS would end the process, with 20 to 40 MiB left."""
    command = [sys.executable, "-c", _LIMITED, limit, used, str(left)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.stdout.strip(), ended.returncode) == (expected, 0), ended.stderr
