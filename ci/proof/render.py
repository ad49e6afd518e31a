"""From gpu.json to Markdown, and from the newest of docs/gpu-results to README's table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["BEGIN", "END", "markdown", "newest", "publish", "readme_section", "with_section", "write_readme"]

RESULTS = Path("docs") / "gpu-results"
BEGIN, END = "<!-- gpu-results: written by ci/gpu --readme -->", "<!-- /gpu-results -->"
_FACTS = {
    "device": "device",
    "compute_capability": "compute capability",
    "driver": "driver",
    "cuda_driver": "CUDA of the driver",
    "cuda_runtime": "CUDA runtime",
    "nvrtc": "NVRTC",
    "cupy": "CuPy",
    "faiss": "FAISS",
    "numpy": "NumPy",
    "python": "Python",
    "packages": "packages",
    "host": "host",
}


def markdown(content: dict[str, Any]) -> str:
    """The whole record: what it ran on, every step, failures with their log."""
    machine = content["machine"]
    title = machine.get("device", "no device")
    lines = [f"# {title}, commit {content['commit'][:12]}", ""]
    if content.get("stand_in") or content.get("tiny"):
        lines += ["**Not evidence**: a run over the stand-in or with tiny tables; the figures mean nothing.", ""]
    lines += [f"{content['date']}, {content.get('seconds', 0):g} of {content['budget']:g} seconds.", ""]
    facts = [[words, _cell(machine[name])] for name, words in _FACTS.items() if machine.get(name)]
    if "memory" in machine:
        facts.insert(2, ["memory", f"{machine['memory'] / 2**30:.1f} GiB, {machine['memory_free'] / 2**30:.1f} free"])
    lines += _table(["", ""], facts)
    lines += _table(["step", "state", "seconds", "checks that held"], [_summary(step) for step in content["steps"]])
    for step in content["steps"]:
        lines += _step(step)
    return "\n".join(lines).rstrip() + "\n"


def _summary(step: dict[str, Any]) -> list[str]:
    held = sum(check["held"] is True for check in step["checks"])
    return [step["title"], step["state"], f"{step['seconds']:.1f}", f"{held} of {len(step['checks'])}"]


def _step(step: dict[str, Any]) -> list[str]:
    lines = [f"## {step['title']}: {step['state']}", ""]
    lines += [f"- {_line(note)}" for note in step["notes"]]
    lines += [""] if step["notes"] else []
    lines += _results(step["results"])
    broken = [check for check in step["checks"] if check["held"] is not True]
    for check in broken:
        said = {False: "not met" if check["goal"] else "FAILED", None: "not judged"}[check["held"]]
        lines.append(f"- {said}: {_line(check['what'])}" + (f" ({_line(check['detail'])})" if check["detail"] else ""))
    lines += [""] if broken else []
    if step["log"]:
        lines += ["```text", step["log"].replace("```", "'''").strip(), "```", ""]
    return lines


def _results(results: list[dict[str, Any]]) -> list[str]:
    """A table for each set of columns, in the order in which they came."""
    lines: list[str] = []
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in results:
        groups.setdefault(tuple(row), []).append(row)
    for columns, rows in groups.items():
        headings = [column.replace("_per_s", "/s").replace("_", " ") for column in columns]
        lines += _table(headings, [[_cell(row[column]) for column in columns] for row in rows])
    return lines


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    return [
        "| " + " | ".join(headings) + " |",
        "|" + " --- |" * len(headings),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    return _line(str(value)).replace("|", "/")


def _line(text: str) -> str:
    return " ".join(str(text).split())


def publish(source: Path, root: Path) -> list[Path]:
    """Write docs/gpu-results/<device>-<commit>.md and .json, then README's table.

    Parameters
    ----------
    source : Path
        A gpu.json.
    root : Path
        Of the checkout.

    Returns
    -------
    list of Path
        What was written.
    """
    text = source.read_text(encoding="utf-8")
    content = json.loads(text)
    if content.get("stand_in") or content.get("tiny"):
        raise SystemExit("A run over the stand-in, or with tiny tables, is no evidence: it is not published.")
    device = content["machine"].get("device")
    if not device:
        raise SystemExit("The record names no device: its first step failed.")
    short = re.sub(r"[^0-9a-z]+", "-", content["commit"].lower())[:12].strip("-")
    stem = root / RESULTS / f"{re.sub(r'[^0-9A-Za-z]+', '-', device).strip('-').lower()}-{short}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = [stem.with_suffix(".json"), stem.with_suffix(".md")]
    written[0].write_text(text, encoding="utf-8")
    written[1].write_text(markdown(content), encoding="utf-8")
    write_readme(root)
    return [*written, root / "README.md"]


def newest(root: Path) -> tuple[dict[str, Any], str] | None:
    """The record with the latest date and the name of its page, or None where there is none."""
    records = [(json.loads(path.read_text(encoding="utf-8")), path) for path in (root / RESULTS).glob("*.json")]
    if not records:
        return None
    content, path = max(records, key=lambda pair: pair[0]["date"])
    return content, path.with_suffix(".md").relative_to(root).as_posix()


def readme_section(root: Path) -> str:
    """What stands between the marks in README.md."""
    found = newest(root)
    if found is None:
        return (
            "**Nothing has run on a device yet.** On a machine with one, `ci/gpu OUT` takes at most eight minutes and\n"
            "writes what it finds to OUT/gpu.json ([how](docs/gpu-results/README.md)); these lines are then made from\n"
            "it.\n"
        )
    content, page = found
    machine, steps = content["machine"], {step["name"]: step for step in content["steps"]}
    lines = [
        f"{machine['device']} (compute capability {machine['compute_capability']}), CUDA {machine['cuda_runtime']}, "
        f"CuPy {machine['cupy']}, FAISS {_line(machine['faiss'])}; {content['date'][:10]}, commit "
        f"{content['commit'][:12]}. Written by `ci/gpu`; [all of it]({page}), failures included.",
        "",
        *_table(
            ["step", "state", "checks that held"], [[row[0], row[1], row[3]] for row in map(_summary, steps.values())]
        ),
        *_rows(steps.get("generation"), "Generation", ("dtype", "d", "rows_per_s", "GB_per_s", "share_of_copy")),
        *_rows(steps.get("search"), "Search", ("rows", "d", "queries", "what", "seconds")),
        *_rows(steps.get("smote"), "SMOTE end to end, 32 columns, majority 5x", ("what", "rows", "seconds")),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _rows(step: dict[str, Any] | None, title: str, columns: tuple[str, ...]) -> list[str]:
    rows = [row for row in (step or {"results": []})["results"] if set(columns) <= set(row)]
    if not rows:
        return []
    return [f"{title}:", "", *_results([{column: row[column] for column in columns} for row in rows])]


def with_section(readme: str, section: str) -> str:
    """README's text with the section between its marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"README.md has no lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{section}\n{END}{after}"


def write_readme(root: Path) -> None:
    """Bring README's section up to date."""
    path = root / "README.md"
    path.write_text(with_section(path.read_text(encoding="utf-8"), readme_section(root)), encoding="utf-8")
