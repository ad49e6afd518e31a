"""The process of one step: ``python -m proof.child MODULE FUNCTION LINES SECONDS [--stand-in] [--tiny]``."""

from __future__ import annotations

import faulthandler
import importlib
import sys
from pathlib import Path

from proof.run import Run

__all__ = ["main"]


def main(given: list[str]) -> None:
    """Call the step's function; an exception ends the process with its traceback."""
    faulthandler.enable()  # where a crash in native code happened
    module, function, lines, seconds, *flags = given
    if "--stand-in" in flags:
        import pytest

        from tests.standin.install import stand_in

        stand_in(pytest.MonkeyPatch())(devices=2, memory=8 << 30)  # until the process ends
    run = Run(Path(lines), float(seconds), stand_in="--stand-in" in flags, tiny="--tiny" in flags)
    getattr(importlib.import_module(module), function)(run)


if __name__ == "__main__":
    main(sys.argv[1:])
