"""gpu.json: whole and valid at every moment, whatever happens to the step that is running."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from pathlib import Path
from typing import Any

from proof.plan import Step

__all__ = ["BAD", "Record"]

FORMAT = 1
BAD = ("failed", "missed", "error", "timed out", "not run")
"""States of a step that keep ``ci/gpu`` from the exit status 0; the others are "held" and "not here"."""


class Record:
    """What is known so far.

    Parameters
    ----------
    folder : Path
        Where gpu.json is written.
    **about
        What is known before anything has run: commit, budget, stand_in, tiny.
    """

    def __init__(self, folder: Path, **about: Any) -> None:
        self._path = folder / "gpu.json"
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.content: dict[str, Any] = {"format": FORMAT, "date": now, **about, "machine": {}, "steps": []}
        self.write()

    def write(self) -> None:
        """Replace the file in one go, so that no reader and no crash sees half of it."""
        self.content["verdict"] = verdict(self.content["steps"])
        text = json.dumps(self.content, indent=1, allow_nan=False, default=str) + "\n"
        temporary = self._path.with_suffix(".json.part")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)

    def begin(self, step: Step) -> dict[str, Any]:
        """The record of a step that starts now."""
        entry: dict[str, Any] = {
            **{field.name: getattr(step, field.name) for field in dataclasses.fields(step) if field.name != "module"},
            **{"state": "error", "seconds": 0.0, "notes": [], "results": [], "checks": [], "log": ""},
        }
        self.content["steps"].append(entry)
        self.write()
        return entry

    def add(self, entry: dict[str, Any], line: str) -> None:
        """Take over one line that a step's process has written."""
        try:
            said = json.loads(line)
        except ValueError:  # the process died while it wrote
            return
        for kind, value in said.items():
            if kind == "machine":
                self.content["machine"].update(value)
            elif kind == "not_here":
                entry["state"] = "not here"
                entry["notes"].append(value)
            else:
                entry[{"note": "notes", "result": "results", "check": "checks"}[kind]].append(value)


def state(entry: dict[str, Any]) -> str:
    """Of a step whose process has ended well."""
    if entry["state"] == "not here":
        return "not here"
    broken = [check for check in entry["checks"] if check["held"] is False]
    if any(not check["goal"] for check in broken):
        return "failed"
    return "missed" if broken else "held"


def verdict(steps: list[dict[str, Any]]) -> dict[str, int]:
    """How many steps ended in each state, and how many checks held."""
    counts: dict[str, int] = {}
    for step in steps:
        counts[step["state"]] = counts.get(step["state"], 0) + 1
    checks = [check for step in steps for check in step["checks"]]
    counts["checks"] = len(checks)
    counts["checks that held"] = sum(check["held"] is True for check in checks)
    counts["checks not judged"] = sum(check["held"] is None for check in checks)
    return counts
