"""``ci/gpu``: no results are lost, however a phase ends."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("ci_gpu", ROOT / "ci" / "gpu.py")
gpu = sys.modules["ci_gpu"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gpu)

FOUND = {
    "machine": {"device": "NVIDIA H100"},
    "results": {"search": [{"rows": 4, "seconds": 0.5}]},
    "notes": ["a note"],
}
HELD, WRONG, SHORT = (
    {"what": what, "held": held, "detail": "two | three", "aim": aim}
    for what, held, aim in (("right", True, False), ("wrong", False, False), ("slow", False, True))
)


class Scripted(gpu.Phase):
    """A phase whose process writes ``what`` and then does what ``small`` says."""

    def command(self, findings, *, stand_in):
        program = "import json, os, signal, subprocess, sys, time\nfrom pathlib import Path\n"
        program += f"path = Path({str(findings)!r})\npath.write_text({self.what[0]!r})\n"
        return [sys.executable, "-c", program + self.small[0]]


def bench(name, *checks, then="", most=60.0):
    return Scripted(name, f"Phase {name}", "bench", 0.0, most, (json.dumps({**FOUND, "checks": checks}),), (then,))


def prove(tmp_path, monkeypatch, phases, *more):
    monkeypatch.setattr(gpu, "PHASES", phases)
    status = gpu.main([str(tmp_path / "out"), "--commit", "0123456789abcdef", *more])
    record = json.loads((tmp_path / "out" / "gpu.json").read_text(encoding="utf-8"))
    return status, record, {entry["name"]: entry for entry in record["phases"]}


def test_every_state_is_recorded_and_the_next_phase_runs(tmp_path, monkeypatch, capsys):
    phases = [
        bench("good", HELD),
        bench("wrong", HELD, WRONG, then="sys.exit(1)"),
        bench("slow", HELD, SHORT),
        bench("empty"),
        bench("raised", HELD, then="raise ValueError('the reason')"),
        bench("crashed", HELD, then="os.kill(os.getpid(), signal.SIGSEGV)"),
        bench("last", HELD),
    ]
    status, record, found = prove(tmp_path, monkeypatch, phases)
    assert status == 1
    states = {"good": "held", "wrong": "failed", "slow": "missed", "empty": "failed", "raised": "error"}
    assert {name: entry["state"] for name, entry in found.items()} == {**states, "crashed": "error", "last": "held"}
    assert all(entry["results"] == FOUND["results"]["search"] for entry in found.values())
    assert "ValueError: the reason" in found["raised"]["log"]
    assert "signal SIGSEGV" in found["crashed"]["notes"][1]
    assert (record["commit"], record["machine"]) == ("0123456789abcdef", FOUND["machine"])
    page = capsys.readouterr().out
    assert page == gpu.markdown(record)
    assert page.startswith("# NVIDIA H100, commit 0123456789ab\n")
    for line in ("- WRONG: wrong (two / three)", "- target missed: slow (two / three)", "| 4 | 0.5 |", "- a note"):
        assert f"\n{line}\n" in page


def test_all_held_is_status_zero(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no compute-sanitizer
    sanitizer = gpu.Phase("memcheck", "memcheck", "memcheck", 0, 10, ())
    status, _, found = prove(tmp_path, monkeypatch, [bench("good", HELD), sanitizer])
    assert status == 0
    assert found["memcheck"]["state"] == "not here"


def test_without_time_a_phase_is_not_run(tmp_path, monkeypatch):
    status, _, found = prove(tmp_path, monkeypatch, [bench("good", HELD)], "--budget", "-1")
    assert (status, found["good"]["state"]) == (1, "not run")


def test_a_phase_that_hangs_is_ended_with_its_child_processes(tmp_path, monkeypatch):
    """Its results can be read while it runs, and are kept."""
    child = "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    then = child + f"Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\ntime.sleep(600)"
    seen = []

    def read():
        path = tmp_path / "out" / "gpu.json"
        while not seen or not seen[-1].get("results"):
            time.sleep(0.05)
            if path.exists():
                seen.extend(json.loads(path.read_text(encoding="utf-8"))["phases"][-1:])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    status, _, found = prove(tmp_path, monkeypatch, [bench("hung", HELD, then=then, most=5.0), bench("last", HELD)])
    reader.join(10)
    assert seen[-1]["state"] == "error"  # as it was read while the phase ran
    assert status == 1
    assert (found["hung"]["state"], found["last"]["state"]) == ("timed out", "held")
    assert found["hung"]["results"]
    pid = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or b"\0" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        time.sleep(0.05)
    os.kill(pid, 9)
    pytest.fail("a child process of the phase still ran")


TESTS = """
import os, pytest, signal
pytestmark = pytest.mark.gpu
def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="no device")
def test_absent(): pass
def test_dies(): os.kill(os.getpid(), signal.SIGSEGV)
def test_never(): pass
"""


@pytest.mark.parametrize("dies", [True, False])
def test_each_test_is_recorded_even_if_a_later_one_ends_the_process(tmp_path, monkeypatch, dies):
    (tmp_path / "test_some.py").write_text(
        TESTS if dies else TESTS.replace("os.kill(os.getpid(), signal.SIGSEGV)", "pass")
    )
    (tmp_path / "test_import.py").write_text("import no_such_package\n")
    small = ("-p", "tests.conftest", f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"), str(tmp_path))
    phase = gpu.Phase("tests", "Tests", "tests", 0, 60, (), small)
    status, record, found = prove(tmp_path, monkeypatch, [phase], "--stand-in")
    assert status == 1
    entry = found["tests"]
    held = {check["what"].rpartition("::")[2]: check["held"] for check in entry["checks"]}
    assert {name: held[name] for name in ("test_good", "test_bad", "test_absent")} == {
        "test_good": True,
        "test_bad": False,
        "test_absent": None,
    }
    if dies:
        assert entry["state"] == "error"
        assert "signal SIGSEGV while" in entry["notes"][0]
        assert entry["notes"][0].endswith("::test_dies ran.")
    else:
        assert (entry["state"], held["test_never"]) == ("failed", True)
    page = gpu.markdown(record)
    assert "1 skipped: Skipped: no device" in page
    assert "1 skipped: No module named 'no_such_package'" in page


@pytest.mark.slow
@pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)
def test_the_command_over_the_stand_in(tmp_path):
    """With a compute-sanitizer that runs the tests and finds nothing."""
    fake = tmp_path / "compute-sanitizer"
    fake.write_text('#!/bin/sh\nshift 4\n"$@" || exit $?\necho "========= ERROR SUMMARY: 0 errors"\n')
    fake.chmod(0o755)
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = ["ci/gpu", str(tmp_path / "out"), "--stand-in", "--only", "limits,memcheck"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.splitlines() == ["limits: held", "memcheck: held"]
    record = json.loads((tmp_path / "out" / "gpu.json").read_text(encoding="utf-8"))
    assert record["machine"]["device"] == "Stand-in device"
    assert {"driver", "CUDA", "CuPy"} <= set(record["machine"])
    assert record["phases"][1]["notes"] == ["ERROR SUMMARY: 0 errors"]
    assert all(check["seconds"] > 0 for check in record["phases"][1]["checks"])
    assert done.stdout == gpu.markdown(record)


def test_the_phases_begin_with_equality_and_fit_the_budget():
    first, second = gpu.PHASES[:2]
    assert (first.name, second.name) == ("equality", "limits")
    assert first.most < 120
    assert sum(phase.least for phase in gpu.PHASES) < gpu.BUDGET <= 480
    assert all((ROOT / path).is_file() for path in gpu.EQUALITY)


@pytest.mark.parametrize("given", [[], ["OUT", "--render", "a"], ["OUT", "--only", "sleep"]], ids=str)
def test_wrong_command_lines(given, capsys):
    with pytest.raises(SystemExit) as ended:
        gpu.main(given)
    assert ended.value.code == 2
    assert "ci/gpu: error:" in capsys.readouterr().err


def record_of(date, device):
    """A small record."""
    entry = {"name": "search", "title": "Search", "tool": "bench", "state": "held", "seconds": 2.0, "notes": []}
    entry |= {"results": [{"rows": 100_000, "seconds": 0.25}], "checks": [HELD], "running": "", "log": ""}
    about = {"device": device, "compute capability": "9.0", "CUDA": "12.9", "CuPy": "14.2.0", "FAISS": "1.15"}
    record = {"format": 2, "date": date, "commit": "0123456789abcdef+changes", "stand_in": False, "seconds": 100.0}
    return {**record, "machine": about, "phases": [entry]}


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / gpu.BENCHMARKS).write_text(f"before\n{gpu.BEGIN}\nold\n{gpu.END}\nafter\n", encoding="utf-8")
    return tmp_path


def test_rendering_writes_a_page_and_the_benchmarks(checkout, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "ROOT", checkout)
    source = checkout / "gpu.json"
    for date, device in (("2027-01-02T00:00:00+00:00", "NVIDIA L4"), ("2026-12-01T00:00:00+00:00", "NVIDIA H100")):
        source.write_text(json.dumps(record_of(date, device)), encoding="utf-8")
        assert gpu.main(["--render", str(source)]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    names = [f"nvidia-{chip}-0123456789ab-changes.{suffix}" for chip in ("l4", "h100") for suffix in ("json", "md")]
    assert [path.name for path in written] == [*names[:2], "benchmarks.md", *names[2:], "benchmarks.md"]
    assert "| 100,000 | 0.25 |" in written[4].read_text(encoding="utf-8")
    readme = (checkout / gpu.BENCHMARKS).read_text(encoding="utf-8")
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert "NVIDIA L4 (compute capability 9.0)" in readme  # the later of the two
    assert "(gpu-results/nvidia-l4-0123456789ab-changes.md" in readme
    assert "old" not in readme


@pytest.mark.parametrize("change", [{"stand_in": True}, {"machine": {}}], ids=str)
def test_runs_with_the_stand_in_or_without_a_device_are_not_published(checkout, change):
    source = checkout / "gpu.json"
    source.write_text(json.dumps(record_of("2027-01-02", "NVIDIA L4") | change), encoding="utf-8")
    with pytest.raises(SystemExit, match="not published"):
        gpu.publish(source, checkout)
    assert not (checkout / gpu.RESULTS).exists()


def test_benchmarks_and_pages_say_what_the_records_say():
    text = (ROOT / gpu.BENCHMARKS).read_text(encoding="utf-8")
    assert text.count(gpu.BEGIN) == text.count(gpu.END) == 1
    assert gpu.with_results(text, ROOT) == text
    for path in (ROOT / gpu.RESULTS).glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert path.with_suffix(".md").read_text(encoding="utf-8") == gpu.markdown(record), path.name
