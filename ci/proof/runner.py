"""Run one step in a process of its own, and lose nothing of what it has found when it crashes or hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from proof.plan import Step
from proof.record import Record, state

__all__ = ["ROOT", "run_step"]

ROOT = Path(__file__).resolve().parents[2]
_HEAD, _TAIL = 1500, 4000
"""Characters of a step's output that are kept where it did not end well: a crash says where it was at once, an
exception at the end."""


def run_step(step: Step, record: Record, folder: Path, seconds: float, options: list[str]) -> str:
    """Run a step, reading its findings while it runs.

    Parameters
    ----------
    step : Step
    record : Record
    folder : Path
        For the lines and the output of the process; both are removed afterwards.
    seconds : float
        After which the process is ended.
    options : list of str
        For ``proof.child``.

    Returns
    -------
    str
        The state in which the step ended.
    """
    entry = record.begin(step)
    lines, log = folder / f"{step.name}.lines", folder / f"{step.name}.log"
    lines.touch()
    command = [sys.executable, "-m", "proof.child", step.module, step.name, str(lines), f"{seconds:.1f}", *options]
    start = time.monotonic()
    with log.open("wb") as output, lines.open(encoding="utf-8") as source:
        process = subprocess.Popen(
            command, cwd=ROOT, env=_environment(), stdout=output, stderr=output, start_new_session=True
        )
        try:
            ended = _follow(process, source, record, entry, start, seconds)
        finally:
            _end(process)
            _take(source, record, entry)
    entry["seconds"] = round(time.monotonic() - start, 2)
    _judge(entry, ended, process.returncode, log)
    lines.unlink()
    log.unlink()
    record.write()
    return str(entry["state"])


def _environment() -> dict[str, str]:
    paths = [str(ROOT / "ci"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    # Compiled bytecode would be written into the checkout; single kernels that fail should say so at once.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONDONTWRITEBYTECODE": "1"}


def _follow(process: Any, source: Any, record: Record, entry: dict[str, Any], start: float, seconds: float) -> bool:
    """Until the process ends; False if it did not in time."""
    while process.poll() is None:
        if time.monotonic() - start > seconds:
            return False
        if _take(source, record, entry):
            record.write()
        time.sleep(0.05)
    return True


def _take(source: Any, record: Record, entry: dict[str, Any]) -> bool:
    """Take over the whole lines that have been written since."""
    found = False
    while True:
        place = source.tell()
        line = source.readline()
        if not line.endswith("\n"):
            source.seek(place)
            return found
        record.add(entry, line)
        found = True


def _end(process: Any) -> None:
    """The process and whatever it started: they are a session of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _judge(entry: dict[str, Any], ended: bool, status: int, log: Path) -> None:
    text = log.read_text(encoding="utf-8", errors="replace")
    if not ended:
        entry["state"] = "timed out"
        entry["notes"].append("It was ended because its time was over; what it had found until then is kept.")
    elif status:
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        entry["state"] = "error"
        entry["notes"].append(f"Its process ended with {how}; what it had found until then is kept.")
    else:
        entry["state"] = state(entry)
        return
    entry["log"] = text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n[...]\n{text[-_TAIL:]}"
