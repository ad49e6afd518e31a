"""``ci/gpu`` as a command: nothing that was found is lost, whatever a step does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from proof import main as command
from proof import render
from proof.plan import Step
from proof.record import Record

from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER

ROOT = Path(__file__).resolve().parents[2]


def broken(name: str, most: float = 60.0) -> Step:
    return Step(name, "tests.ci.broken_steps", f"Step {name}", 0.0, most)


def prove(tmp_path: Path, steps: list[Step], *more: str) -> tuple[int, dict]:
    options = command.arguments([str(tmp_path), "--tiny", "--commit", "0123abc", *more])
    status = command.prove(options, steps)
    return status, json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))


def test_every_ending_is_told_and_the_next_step_runs(tmp_path):
    names = ["failed", "missed", "raised", "crashed", "absent", "endless_line", "held"]
    status, found = prove(tmp_path, [broken(name) for name in names])
    assert status == 1
    states = {step["name"]: step["state"] for step in found["steps"]}
    assert states == {
        "failed": "failed",
        "missed": "missed",
        "raised": "error",
        "crashed": "error",
        "absent": "not here",
        "endless_line": "held",
        "held": "held",
    }
    steps = {step["name"]: step for step in found["steps"]}
    results = [row["found"] for step in found["steps"] for row in step["results"]]
    assert results == [2, 3, 4, 6, 1]
    assert "the reason of the failure" in steps["raised"]["log"]
    assert "SIGSEGV" in steps["crashed"]["notes"][0]
    assert "broken_steps.py" in steps["crashed"]["log"]
    assert steps["absent"]["notes"] == ["the tool is not installed"]
    assert found["verdict"]["checks that held"] == 2
    assert found["commit"] == "0123abc"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.json"]
    text = render.markdown(found)
    assert "- FAILED: two is one (it is two)" in text
    assert "- not met: speed (0.5, aimed at at least 0.85)" in text


def test_a_step_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    status, found = prove(tmp_path, [broken("hung", most=10.0), broken("held")])
    assert status == 1
    hung, held = found["steps"]
    assert (hung["state"], held["state"]) == ("timed out", "held")
    assert hung["results"] == [{"found": 5}]
    child = int(hung["notes"][0].removeprefix("child "))
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or b"\0" not in Path(f"/proc/{child}/cmdline").read_bytes():
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("what the step had started still ran")


def test_without_time_a_step_is_not_run(tmp_path):
    status, found = prove(tmp_path, [broken("held")], "--budget", "0")
    assert status == 1
    (step,) = found["steps"]
    assert step["state"] == "not run"
    assert "were left of 0 s" in step["notes"][0]


def test_all_held_is_status_zero(tmp_path):
    status, found = prove(tmp_path, [broken("held"), broken("absent")])
    assert status == 0
    assert found["verdict"] == {"held": 1, "not here": 1, "checks": 1, "checks that held": 1, "checks not judged": 0}


def test_the_file_is_whole_while_a_step_runs(tmp_path):
    """Read from outside, again and again, during a step that is then ended."""
    program = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/ci']\n"
        "from proof import main; from tests.ci.test_gpu import broken\n"
        "main.prove(main.arguments([sys.argv[2], '--tiny']), [broken('held'), broken('hung', 60.0)])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(ROOT), str(tmp_path)])
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            path = tmp_path / "gpu.json"
            if path.exists():
                steps = json.loads(path.read_text(encoding="utf-8"))["steps"]
                if len(steps) == 2 and steps[1]["results"] and steps[1]["notes"]:
                    break
            time.sleep(0.05)
        else:
            pytest.fail("the finding of a running step did not come into the file")
    finally:
        process.terminate()
        process.wait()
        for path in tmp_path.glob("hung.lines"):
            child = int(json.loads(path.read_text(encoding="utf-8").splitlines()[1])["note"].split()[1])
            os.killpg(os.getpgid(child), 9)
    assert steps[0]["state"] == "held"


@pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)
def test_the_command_over_the_stand_in(tmp_path):
    command = [sys.executable, "ci/gpu", str(tmp_path / "out"), "--stand-in", "--tiny", "--only", "machine,large"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.splitlines() == ["machine: held", "large: held"]
    found = json.loads((tmp_path / "out" / "gpu.json").read_text(encoding="utf-8"))
    assert found["machine"]["device"] == "Stand-in device"
    assert found["machine"]["compute_capability"] == "9.0"
    assert {"cupy", "faiss", "numpy", "python", "cuda_driver", "cuda_runtime", "memory"} <= set(found["machine"])
    assert found["stand_in"]
    assert done.stdout == render.markdown(found)


@pytest.mark.parametrize(
    "given", [[], ["OUT", "--readme"], ["OUT", "--only", "sleep"], ["--render", "a", "--readme"]], ids=str
)
def test_wrong_command_lines(given, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(given)
    assert ended.value.code == 2
    assert "ci/gpu: error:" in capsys.readouterr().err


def evidence(date: str, device: str = "NVIDIA H100 80GB HBM3") -> dict:
    """What a record looks like, in small."""
    rows = [{"dtype": "float32", "d": 32, "rows_per_s": 4.5e9, "GB_per_s": 2500.0, "share_of_copy": 0.9, "ms": 1.0}]
    step = {"name": "generation", "title": "Generation kernel", "state": "held", "seconds": 2.0, "notes": ["a\nb"]}
    step |= {"results": rows, "checks": [{"what": "x", "held": True, "detail": "", "goal": True}], "log": ""}
    facts = {"device": device, "compute_capability": "9.0", "cuda_runtime": "12.9", "cupy": "14.2.0", "faiss": "1.15"}
    facts |= {"memory": 85 << 30, "memory_free": 84 << 30}
    return {
        **{"format": 1, "date": date, "commit": "0123456789abcdef", "budget": 470.0, "seconds": 100.0},
        **{"stand_in": False, "tiny": False, "machine": facts, "steps": [step]},
    }


def checkout(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(f"before\n{render.BEGIN}\nold\n{render.END}\nafter\n", encoding="utf-8")
    return tmp_path


def test_rendering_writes_a_page_and_the_readme(tmp_path):
    root, source = checkout(tmp_path), tmp_path / "gpu.json"
    for date, device in (("2027-01-02T00:00:00+00:00", "NVIDIA L4"), ("2026-12-01T00:00:00+00:00", "NVIDIA H100")):
        source.write_text(json.dumps(evidence(date, device)), encoding="utf-8")
        written = render.publish(source, root)
    assert [path.name for path in written] == [
        "nvidia-h100-0123456789ab.json",
        "nvidia-h100-0123456789ab.md",
        "README.md",
    ]
    page = written[1].read_text(encoding="utf-8")
    assert page.startswith("# NVIDIA H100, commit 0123456789ab\n")
    assert "| float32 | 32 | 4,500,000,000 | 2500 | 0.9 | 1 |" in page
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert "NVIDIA L4 (compute capability 9.0)" in readme  # the later of the two
    assert "docs/gpu-results/nvidia-l4-0123456789ab.md" in readme
    assert "old" not in readme


def test_what_is_no_evidence_is_not_published(tmp_path):
    root, source = checkout(tmp_path), tmp_path / "gpu.json"
    for change in ({"stand_in": True}, {"tiny": True}, {"machine": {}}):
        source.write_text(json.dumps(evidence("2027-01-02") | change), encoding="utf-8")
        with pytest.raises(SystemExit, match=r"not published|names no device"):
            render.publish(source, root)
    assert not (root / "docs").exists()


def test_the_record_is_replaced_in_one_go(tmp_path):
    record = Record(tmp_path, commit="x", budget=1.0)
    record.content["machine"]["figure"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        record.write()
    assert json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["machine"] == {}


def test_the_readme_says_what_the_newest_result_says():
    """Drift: ``ci/gpu --readme`` would change nothing."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert render.with_section(text, render.readme_section(ROOT)) == text


def test_every_published_page_is_made_from_its_record():
    for path in (ROOT / render.RESULTS).glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert path.with_suffix(".md").read_text(encoding="utf-8") == render.markdown(content), path.name
