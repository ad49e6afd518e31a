"""docs/cloud.md says what the last whole run of ci/image measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "cloud.md").read_text(encoding="utf-8")
BUILT = json.loads((ROOT / "docker" / "built.json").read_text(encoding="utf-8"))


def rows() -> dict[str, list[str]]:
    """The table of sizes: a part, then the CPU and the GPU image."""
    found = [re.split(r" *\| *", line.strip("| ")) for line in TEXT.splitlines() if line.startswith("| ")]
    return {part: [cell.replace(",", "") for cell in cells] for part, *cells in found}


def test_sizes_are_those_that_were_measured():
    table = rows()
    for column, image in enumerate(("cpu", "gpu")):
        parts = BUILT["images"][image]["parts"]
        assert table["in all"][column] == str(BUILT["images"][image]["megabytes"])
        for part, size in parts.items():
            if size >= 20:
                assert table[part][column] == str(round(size)), part


def test_sizes_are_within_the_limits():
    assert BUILT["images"]["cpu"]["megabytes"] < 450
    assert BUILT["images"]["gpu"]["megabytes"] < 2600


def test_the_time_is_the_one_that_was_measured():
    seconds = sum(BUILT["seconds"].values())
    assert f"The whole run took {round(seconds / 60)} minutes" in TEXT
    assert seconds < 15 * 60


def test_chips_are_those_that_were_compiled_for():
    chips = BUILT["images"]["gpu"]["chips"]
    assert f"{chips[0]} to {chips[-1]}" in " ".join(TEXT.split())
