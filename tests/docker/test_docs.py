"""docs/cloud.md says what the last whole run of ci/image measured."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "cloud.md").read_text(encoding="utf-8")
BUILT = json.loads((ROOT / "docker" / "built.json").read_text(encoding="utf-8"))


def test_sizes_are_those_that_were_measured():
    cpu, gpu = (f"{BUILT['images'][name]['megabytes']:,} MB" for name in ("cpu", "gpu"))
    assert f"The CPU image holds {cpu}, the GPU image {gpu} " in TEXT


def test_chips_are_those_that_were_compiled_for():
    chips = BUILT["images"]["gpu"]["chips"]
    assert f"{chips[0]} to {chips[-1]}" in " ".join(TEXT.split())
