"""The benchmark over the stand-in: ``python -m tests.standin --gpu --quick``."""

from __future__ import annotations

import sys

import pytest

from gpusmote.evaluation.__main__ import main
from tests.standin.install import stand_in

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand_in(monkeypatch)()
        sys.exit(main(sys.argv[1:]))
