"""The command line, the budget, the order of the steps."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from proof import render
from proof.plan import BUDGET, STEPS, Step
from proof.record import BAD, Record
from proof.runner import ROOT, run_step

__all__ = ["main"]


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ci/gpu",
        description="Evidence from this machine's CUDA device, in OUT/gpu.json; status 0 only if every check held.",
    )
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT", help="folder for gpu.json; made where it is not")
    parser.add_argument("--commit", help="what is tested, where the checkout has no .git")
    parser.add_argument("--budget", type=float, default=BUDGET, metavar="SECONDS", help="for all steps (%(default)g)")
    parser.add_argument("--only", metavar="STEPS", help="comma-separated: " + ", ".join(step.name for step in STEPS))
    parser.add_argument("--tiny", action="store_true", help="small tables: whether it works, no figures worth keeping")
    parser.add_argument(
        "--stand-in", action="store_true", help="no device: over the tests' stand-in for CuPy and FAISS"
    )
    parser.add_argument(
        "--render", type=Path, metavar="JSON", help="write docs/gpu-results from it, then README's table"
    )
    parser.add_argument(
        "--readme", action="store_true", help="write README's table from the newest of docs/gpu-results"
    )
    parsed = parser.parse_args(given)
    if sum([parsed.out is not None, parsed.render is not None, parsed.readme]) != 1:
        parser.error("give one of OUT, --render JSON and --readme")
    unknown = set((parsed.only or "").split(",")) - {step.name for step in STEPS} - {""}
    if unknown:
        parser.error(f"there is no step {sorted(unknown)[0]!r}")
    return parsed


def commit() -> str:
    """Of the checkout, with "+changes" where files differ from it, or "unknown"."""
    try:
        git = ["git", "-C", str(ROOT)]
        found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found + ("+changes" if changes.strip() else "")


def main(given: list[str] | None = None) -> int:
    """Run what the command line asks for.

    Returns
    -------
    int
        0 if every check held, 1 if one did not or could not be made, 2 for a wrong command line.
    """
    options = arguments(given)
    if options.render is not None:
        for path in render.publish(options.render, ROOT):
            print(path.relative_to(ROOT))
        return 0
    if options.readme:
        render.write_readme(ROOT)
        return 0
    wanted = options.only.split(",") if options.only else [step.name for step in STEPS]
    return prove(options, [step for step in STEPS if step.name in wanted])


def prove(options: argparse.Namespace, steps: list[Step]) -> int:
    """Run the steps in order as long as there is time."""
    options.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    about = {"commit": options.commit or commit(), "budget": options.budget}
    record = Record(options.out, **about, stand_in=options.stand_in, tiny=options.tiny)
    flags = [flag for flag, given in (("--stand-in", options.stand_in), ("--tiny", options.tiny)) if given]
    bad = False
    for step in steps:
        left = options.budget - (time.monotonic() - start)
        if left < (1.0 if options.tiny else step.least):
            entry = record.begin(step)
            entry["state"] = "not run"
            entry["notes"].append(
                f"{left:.0f} s were left of {options.budget:g} s; it wants {step.least:g} s at least."
            )
            found = "not run"
        else:
            found = run_step(step, record, options.out, min(left, step.most), flags)
        bad |= found in BAD
        print(f"{step.name}: {found}", file=sys.stderr, flush=True)
    record.content["seconds"] = round(time.monotonic() - start, 1)
    record.write()
    print(render.markdown(record.content), end="")
    return int(bad)
