"""Run the tests marked ``gpu`` and ``python -m gpusmote.evaluation --gpu`` on the CUDA device of this machine.

Each phase runs in its own process with a time limit, and gpu.json is updated during the run, so that a crash or a hang
does not lose earlier results. This script needs only the standard library, so that every failure is recorded.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("docs") / "gpu-results"
BENCHMARKS = Path("docs") / "benchmarks.md"
BEGIN, END = "<!-- gpu-results: written by ci/gpu --render -->", "<!-- /gpu-results -->"
BUDGET = 470.0
"""Seconds for all phases: eight minutes, less the time to start and end."""
GOOD = ("held", "not here")
"""States of a phase; all others make the exit status 1."""
KERNELS = "tests/backends/test_every_kernel.py"
EQUALITY = (KERNELS, "tests/backends/test_cuda_path.py")


@dataclasses.dataclass(frozen=True)
class Phase:
    """A phase, which runs in its own process.

    Attributes
    ----------
    name, title : str
    tool : str
        "bench", "tests" or a tool of compute-sanitizer.
    least, most : float
        The phase is started only if so many seconds are left; it is ended after so many seconds.
    what : tuple of str
        Measurements, or arguments for pytest.
    small : tuple of str
        Used instead of ``what`` with the stand-in, because pytest runs all these tests with it anyway.
    """

    name: str
    title: str
    tool: str
    least: float
    most: float
    what: tuple[str, ...]
    small: tuple[str, ...] = (f"{KERNELS}::test_one_wrong_value_is_found",)

    def command(self, findings: Path, *, stand_in: bool) -> list[str]:
        """The command of the process, which writes its results to a file."""
        python = [sys.executable, "-m"]
        if self.tool == "bench":
            program = ["tests.standin", "--quick"] if stand_in else ["gpusmote.evaluation"]
            return [*python, *program, "--gpu", *self.what, "--json", str(findings)]
        # Warnings of other packages on this machine are not failures of gpusmote.
        device = ["--device", "stand-in"] if stand_in else ["--device", "cuda", "-W", "default"]
        options = ["-m", "gpu", "-q", "-rN", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
        tests = [
            *python,
            "pytest",
            *options,
            *device,
            "--results",
            str(findings),
            *(self.small if stand_in else self.what),
        ]
        if self.tool == "tests":
            return tests
        return ["compute-sanitizer", "--tool", self.tool, "--error-exitcode", "9", *tests]


PHASES = (
    Phase("equality", "Kernels and samplers: the NumPy path's bits", "tests", 20, 110, EQUALITY),
    Phase("limits", "Limits of the device", "bench", 10, 40, ("limits",)),
    Phase("generation", "Kernel that makes rows", "bench", 15, 60, ("generation",)),
    Phase("search", "Search", "bench", 20, 70, ("search",)),
    Phase("smote", "SMOTE end to end", "bench", 20, 80, ("smote",)),
    Phase("tests", "Other tests", "tests", 40, 150, ("tests", *(f"--ignore={path}" for path in EQUALITY))),
    Phase("memory", "Device memory", "bench", 15, 40, ("memory",)),
    Phase("growth", "Growth with the rows", "bench", 15, 60, ("growth",)),
    Phase("memcheck", "compute-sanitizer memcheck", "memcheck", 15, 60, (KERNELS,)),
    Phase("racecheck", "compute-sanitizer racecheck", "racecheck", 15, 60, (KERNELS,)),
)


def main(given: list[str] | None = None) -> int:
    """Run the phases, or write the pages for earlier results.

    Returns
    -------
    int
        0 if every phase ran and every check passed, 1 if not, 2 if the command line is wrong.
    """
    parser = argparse.ArgumentParser(prog="ci/gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT", help="folder for gpu.json; it is created if needed")
    parser.add_argument("--commit", help="the tested commit, if the checkout has no .git")
    parser.add_argument("--budget", type=float, default=BUDGET, metavar="SECONDS", help="for all phases (%(default)g)")
    parser.add_argument("--only", metavar="PHASES", help="some of: " + ",".join(phase.name for phase in PHASES))
    parser.add_argument(
        "--stand-in", action="store_true", help="small tables, with the stand-in of the tests for a device"
    )
    parser.add_argument(
        "--render", type=Path, metavar="JSON", help="write docs/gpu-results and a section of docs/benchmarks.md"
    )
    options = parser.parse_args(given)
    if (options.out is None) == (options.render is None):
        parser.error("give either OUT or --render JSON")
    names = options.only.split(",") if options.only else [phase.name for phase in PHASES]
    for name in names:
        if name not in {phase.name for phase in PHASES}:
            parser.error(f"there is no phase {name!r}")
    if options.render is not None:
        print(*publish(options.render, ROOT), sep="\n")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    record = Record(options.out / "gpu.json", commit=options.commit or commit(), stand_in=options.stand_in)
    start = time.monotonic()
    for phase in PHASES:
        if phase.name in names:
            entry = run(phase, record, options.budget - (time.monotonic() - start))
            print(f"{phase.name}: {entry['state']}", file=sys.stderr, flush=True)
    record.content["seconds"] = round(time.monotonic() - start, 1)
    record.write()
    print(markdown(record.content), end="")
    return int(any(entry["state"] not in GOOD for entry in record.content["phases"]))


def commit() -> str:
    """The commit of the checkout, with "+changes" if files differ from it, or "unknown"."""
    git = ["git", "-C", str(ROOT)]
    try:
        found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found + ("+changes" if changes.strip() else "")


def short(commit: str) -> str:
    """The first digits of a commit, with "+changes" if files differed from it."""
    return commit[:12] + commit[commit.find("+") :] * ("+" in commit)


class Record:
    """The file gpu.json, which is complete at any time."""

    def __init__(self, path: Path, **about: Any) -> None:
        self._path = path
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.content: dict[str, Any] = {"format": 2, "date": date, **about, "seconds": 0.0, "machine": {}, "phases": []}
        self.write()

    def write(self) -> None:
        """Replace the file atomically."""
        part = self._path.with_suffix(".json.part")
        part.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        os.replace(part, self._path)

    def take(self, entry: dict[str, Any], findings: Path) -> None:
        """Add the results that the process of a phase has written so far."""
        text = findings.read_text(encoding="utf-8") if findings.exists() else ""
        if entry["tool"] == "bench":
            found = json.loads(text or '{"machine": {}, "results": {}, "checks": [], "notes": []}')
            self.content["machine"].update(found["machine"])
            entry["results"] = [row for rows in found["results"].values() for row in rows]
            entry |= {"checks": found["checks"], "notes": found["notes"]}
        else:  # one line when a test begins and one when it ends; the last line may be incomplete
            lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
            entry["checks"] = [line for line in lines if "held" in line]
            entry["running"] = lines[-1].get("began", "") if lines else ""
        self.write()


def run(phase: Phase, record: Record, left: float) -> dict[str, Any]:
    """Run one phase and record its results.

    Parameters
    ----------
    phase : Phase
    record : Record
    left : float
        Seconds of the budget.

    Returns
    -------
    dict
        Its part of the record. ``state`` is "held"; "failed" if a result is wrong; "missed" if a target is missed;
        "error" or "timed out" if the process failed; "not run" if there was not enough time; or "not here" if the
        machine does not have the tool.
    """
    entry: dict[str, Any] = {"name": phase.name, "title": phase.title, "tool": phase.tool, "state": "error"}
    entry |= {"seconds": 0.0, "running": "", "results": [], "checks": [], "notes": [], "log": ""}
    record.content["phases"].append(entry)
    if left < phase.least:
        entry["state"] = "not run"
        entry["notes"].append(f"{max(left, 0):.0f} s were left; it needs at least {phase.least:g} s.")
        return entry
    if phase.tool not in ("bench", "tests") and shutil.which("compute-sanitizer") is None:
        entry["state"] = "not here"
        entry["notes"].append("compute-sanitizer is not installed.")
        return entry
    start, limit = time.monotonic(), min(left, phase.most)
    with tempfile.TemporaryDirectory() as folder:
        findings, log = Path(folder) / "findings", Path(folder) / "log"
        command = phase.command(findings, stand_in=record.content["stand_in"])
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # the checkout is not changed
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            try:
                while process.poll() is None and time.monotonic() - start < limit:
                    time.sleep(0.2)
                    record.take(entry, findings)
                ended = process.poll() is not None
            finally:  # also its child processes, which are in the same process group
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        record.take(entry, findings)
        judge(entry, ended, process.returncode, log.read_text(encoding="utf-8", errors="replace"))
    entry["seconds"] = round(time.monotonic() - start, 1)
    record.write()
    return entry


def judge(entry: dict[str, Any], ended: bool, status: int, log: str) -> None:
    """Set the state of a phase whose process has ended; keep its output if it failed."""
    wrong = [check for check in entry["checks"] if check["held"] is False]
    failed = [check for check in wrong if not check.get("aim")]
    running = f" while {entry['running']} ran" if entry["running"] else ""
    summary = re.findall(r"^=+ (.*SUMMARY.*)$", log, re.M)
    if not ended:
        entry["state"] = "timed out"
        entry["notes"].append(f"The time limit was reached{running}.")
    elif entry["tool"] not in ("bench", "tests") and re.search("not supported|LibraryNotLoaded", log) and not summary:
        entry["state"] = "not here"
        entry["notes"].append("compute-sanitizer does not work on this device.")
    elif status and not (status == 1 and (failed or entry["tool"] == "tests")):
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        entry["state"] = "error"
        entry["notes"].append(f"The process ended with {how}{running}.")
    elif failed or not any(check["held"] for check in entry["checks"]):
        entry["state"] = "failed"
        entry["notes"] += [] if failed else ["Nothing was checked."]
    else:
        entry["state"] = "missed" if wrong else "held"
    entry["notes"] += summary
    if entry["state"] not in (*GOOD, "missed"):
        entry["log"] = log if len(log) < 6000 else f"{log[:1500]}\n[...]\n{log[-4500:]}"


def markdown(content: dict[str, Any]) -> str:
    """The page of a record: the machine, and every phase."""
    lines = [f"# {content['machine'].get('device', 'no device')}, commit {short(content['commit'])}", ""]
    if content["stand_in"]:
        lines += ["**Not a result**: small tables with the stand-in; the figures have no meaning.", ""]
    lines += [f"{content['date']}; {content['seconds']:g} seconds.", ""]
    lines += table([{"": name, " ": value} for name, value in content["machine"].items()])
    lines += table([overview(entry) for entry in content["phases"]])
    for entry in content["phases"]:
        lines += [f"## {entry['title']}: {entry['state']}", "", *(f"- {one_line(note)}" for note in entry["notes"])]
        for check in entry["checks"]:
            if check["held"] is False:
                what = "target missed" if check.get("aim") else "WRONG"
                lines.append(f"- {what}: {one_line(check['what'])} ({one_line(check['detail'])[-300:]})")
        reasons = Counter(one_line(check["detail"]) for check in entry["checks"] if check["held"] is None)
        lines += [f"- {number} skipped: {reason}" for reason, number in reasons.most_common()]
        lines += ["", *table(entry["results"])]
        lines += ["```text", entry["log"].replace("```", "'''").strip(), "```", ""] if entry["log"] else []
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def overview(entry: dict[str, Any]) -> dict[str, Any]:
    held = sum(check["held"] is True for check in entry["checks"])
    state = {"phase": entry["title"], "state": entry["state"], "seconds": entry["seconds"]}
    return {**state, "passed checks": f"{held:,} of {len(entry['checks']):,}"}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A Markdown table of rows with the same columns."""
    if not rows:
        return []
    headings = [column.replace("_per_s", "/s").replace("_", " ") for column in rows[0]]
    cells = [headings, ["---"] * len(headings), *([cell(value) for value in row.values()] for row in rows)]
    return [*("| " + " | ".join(line) + " |" for line in cells), ""]


def cell(value: Any) -> str:
    return "-" if value is None else f"{value:,.12g}" if isinstance(value, int | float) else one_line(value)


def one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")


def publish(source: Path, root: Path) -> list[Path]:
    """Write docs/gpu-results/<device>-<commit>.md and .json, and the newest results into docs/benchmarks.md.

    Parameters
    ----------
    source : Path
        A gpu.json.
    root : Path
        The checkout.

    Returns
    -------
    list of Path
        The files that were written.
    """
    text = source.read_text(encoding="utf-8")
    content = json.loads(text)
    if content["stand_in"] or "device" not in content["machine"]:
        raise SystemExit("ci/gpu: a run with the stand-in or without a device is not published.")
    name = re.sub(r"[^0-9a-z]+", "-", f"{content['machine']['device']} {short(content['commit'])}".lower()).strip("-")
    page, copy = (root / RESULTS / f"{name}.{suffix}" for suffix in ("md", "json"))
    page.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(text, encoding="utf-8")
    page.write_text(markdown(content), encoding="utf-8")
    benchmarks = root / BENCHMARKS
    benchmarks.write_text(with_results(benchmarks.read_text(encoding="utf-8"), root), encoding="utf-8")
    return [copy, page, benchmarks]


def with_results(text: str, root: Path) -> str:
    """The text of docs/benchmarks.md with the newest results of docs/gpu-results between its marks."""
    records = [(json.loads(path.read_text(encoding="utf-8")), path) for path in (root / RESULTS).glob("*.json")]
    if not records:
        return text
    content, path = max(records, key=lambda pair: pair[0]["date"])
    about, phases = content["machine"], {entry["name"]: entry for entry in content["phases"]}
    lines = [
        f"{about['device']} (compute capability {about['compute capability']}), CUDA {about['CUDA']}, "
        f"CuPy {about['CuPy']}, FAISS {one_line(about['FAISS'])}; {content['date'][:10]}, commit "
        f"{short(content['commit'])}. Written by `ci/gpu`; "
        f"[all results]({path.with_suffix('.md').relative_to(root / BENCHMARKS.parent).as_posix()}), with failures.",
        "",
        *table([overview(entry) for entry in phases.values()]),
    ]
    for name in ("generation", "search", "smote"):
        lines += table(phases.get(name, {"results": []})["results"])
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"ci/gpu: {BENCHMARKS} has no lines {BEGIN} and {END}.")
    return "\n".join([f"{before}{BEGIN}", "", *lines, f"{END}{after}"])


if __name__ == "__main__":
    sys.exit(main())
