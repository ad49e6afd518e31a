"""Steps for ``ci/gpu`` that end badly, each after it has found something."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any


def held(run: Any) -> None:
    run.result(found=1)
    run.check("one is one", True)


def failed(run: Any) -> None:
    run.result(found=2)
    run.check("two is one", False, "it is two")
    run.check("one is one", True)


def missed(run: Any) -> None:
    run.stand_in = run.tiny = False  # so that the goal is judged
    run.goal("speed", 0.5, 0.85, at_least=True)


def raised(run: Any) -> None:
    run.result(found=3)
    raise ValueError("the reason of the failure")


def crashed(run: Any) -> None:
    run.result(found=4)
    os.kill(os.getpid(), signal.SIGSEGV)


def hung(run: Any) -> None:
    run.result(found=5)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    run.note(f"child {child.pid}")
    time.sleep(600)


def absent(run: Any) -> None:
    run.not_here("the tool is not installed")


def endless_line(run: Any) -> None:
    """As a process that is ended while it writes."""
    run.result(found=6)
    with run._lines.open("a", encoding="utf-8") as file:
        file.write('{"result": {"found": 7')
