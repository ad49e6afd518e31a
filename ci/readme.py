"""Run the commands whose output README.md and docs/ show, and update the output there.

    python3 ci/readme.py              # all commands
    python3 ci/readme.py demo help    # only commands that contain one of these words

An output is between ``<!-- output of COMMAND -->`` and ``<!-- end of output -->``. Measure speed only while the machine
does nothing else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = re.compile(r"(<!-- output of (.+?) -->\n).*?(<!-- end of output -->)", re.DOTALL)


def main(words: list[str]) -> None:
    for document in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]:
        renew(document, words)


def renew(document: Path, words: list[str]) -> None:
    """Update the outputs in one document."""

    def again(block: re.Match[str]) -> str:
        if words and not any(word in block[2] for word in words):
            return block[0]
        return f"{block[1]}\n```\n{run(block[2])}\n```\n\n{block[3]}"

    # The text is read again at the end, because it may be edited while a command runs for minutes.
    fresh = {block[2]: again(block) for block in OUTPUT.finditer(document.read_text(encoding="utf-8"))}
    text = document.read_text(encoding="utf-8")
    if fresh:
        document.write_text(OUTPUT.sub(lambda block: fresh.get(block[2], block[0]), text), encoding="utf-8")


def run(command: str) -> str:
    """The output of a command in the environment of the checkout."""
    print(f"$ {command}", file=sys.stderr, flush=True)
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    script = f"set -o pipefail; {command}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


if __name__ == "__main__":
    main(sys.argv[1:])
