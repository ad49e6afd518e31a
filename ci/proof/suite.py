"""The project's tests with the device joined in, and the kernels under compute-sanitizer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from proof.run import Run
from proof.runner import ROOT

__all__ = ["memcheck", "racecheck", "suite"]

# What says nothing about the device: wheels (which need an index), these steps themselves, the stand-in.
LEFT_OUT = ("tests/ci", "tests/standin", "tests/test_wheel.py", "tests/test_readme.py", "tests/test_demo.py")
TINY = (
    "tests/backends/test_cuda.py::test_transfers",
    "tests/samplers/test_smote.py::test_a_longer_run_starts_with_the_shorter_one",
)
_LINE = re.compile(r"^(tests/\S+::.*?) (PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)\b", re.MULTILINE)
_REASON = re.compile(r"^SKIPPED \[(\d+)\] (?:\S+?:(?:\d+:)? )?(.*)$", re.MULTILINE)


def suite(run: Run) -> None:
    """Each numeric test on both backends, the tests of the CUDA path on the device."""
    device = "stand-in" if run.stand_in else "cuda"
    options = [
        "-v",
        "-rs",
        "--color=no",
        "-p",
        "no:cacheprovider",
        "--device",
        device,
        f"--durations={run.size(10, 1)}",
    ]
    which = list(TINY) if run.tiny else ["tests", *(f"--ignore={path}" for path in LEFT_OUT)]
    seconds = max(10.0, run.left() - 5)
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as log:
        command = [sys.executable, "-m", "pytest", *options, *which]
        try:
            status = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, timeout=seconds, check=False).returncode
        except subprocess.TimeoutExpired:
            status = None
            run.note(f"The tests were ended after {seconds:.0f} s; those that had run until then are counted.")
        text = Path(log.name).read_text(encoding="utf-8", errors="replace")
    outcomes = _LINE.findall(text)
    counts = Counter(outcome for _, outcome in outcomes)
    twice = sum(f"[{device}" in name and outcome == "PASSED" for name, outcome in outcomes)
    run.result(**{outcome.lower(): number for outcome, number in sorted(counts.items())}, on_the_device_again=twice)
    for number, reason in sorted(_REASON.findall(text), key=lambda found: -int(found[0]))[:25]:
        run.note(f"{number} skipped: {reason}")
    failed = [name for name, outcome in outcomes if outcome in ("FAILED", "ERROR")]
    run.check("no test fails", bool(counts["PASSED"]) and not failed, "; ".join(failed[:30]))
    run.check("numeric tests ran on the device too", twice > 0)
    run.check("all tests ran", status in (0, 1), "" if status in (0, 1) else text[-1500:])
    if failed:
        print(text[-8000:])


def memcheck(run: Run) -> None:
    """Reads and writes out of bounds, misaligned ones, errors of the runtime."""
    _sanitized(run, "memcheck")


def racecheck(run: Run) -> None:
    """Threads of a block that meet in shared memory without a barrier between them."""
    _sanitized(run, "racecheck")


def _sanitized(run: Run, tool: str) -> None:
    program = shutil.which("compute-sanitizer")
    script = [sys.executable, "-m", "proof.kernels_once"]
    if run.stand_in and tool == "racecheck":
        run.not_here("compute-sanitizer racecheck looks at a device; the script was run by the step before.")
        return
    if run.stand_in:  # the script itself, at least
        done = subprocess.run([*script, "--stand-in"], cwd=ROOT, capture_output=True, text=True, check=False)
        run.check("every kernel runs", done.returncode == 0, done.stderr[-1500:])
        run.not_here("compute-sanitizer memcheck looks at a device; the script that it would run was run without it.")
        return
    if program is None:
        run.not_here("compute-sanitizer is not on the path.")
        return
    command = [program, "--tool", tool, "--error-exitcode", "9", *script]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=max(10.0, run.left() - 3)
    )
    said = done.stdout + done.stderr
    if done.returncode and re.search("Device not supported|not supported on|LibraryNotLoaded", said):
        run.not_here(f"compute-sanitizer does not work on this device: {said[-300:]}")
        return
    summary = [line.strip("= ") for line in said.splitlines() if "SUMMARY" in line]
    run.result(tool=tool, summary="; ".join(summary), kernels=said.count("kernel ran: "))
    run.check(f"{tool} finds nothing", done.returncode == 0 and bool(summary), said[-3000:] if done.returncode else "")
