"""The lock files fit pyproject.toml and each other, and the bill of materials fits them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = {"cpu": ["cli"], "cuda12": ["cli", "cuda12"]}


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "docker" / f"requirements-{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", text, re.M))


def asked(extras: list[str]) -> list[Requirement]:
    """What pyproject.toml asks for, with the extras that extras name."""
    found = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    for extra in extras:
        for line in PROJECT["project"]["optional-dependencies"][extra]:
            requirement = Requirement(line)
            found += asked(sorted(requirement.extras)) if requirement.name == "gpusmote" else [requirement]
    return found


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        *((name, asked(extras)) for name, extras in EXTRAS.items()),
        ("build", [Requirement(line) for line in PROJECT["build-system"]["requires"]]),
    ],
)
def test_locked_versions_are_those_that_pyproject_allows(name, requirements):
    versions = locked(name)
    assert requirements
    for requirement in requirements:
        assert canonicalize_name(requirement.name) in versions, f"{requirement}: run ci/lock"
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but {version} is locked: run ci/lock"


@pytest.mark.parametrize("name", ["cpu", "cuda12", "build"])
def test_every_pin_has_hashes_and_no_index_is_named(name):
    text = (ROOT / "docker" / f"requirements-{name}.txt").read_text()
    pins = re.split(r"^(?=[a-z0-9])", text, flags=re.M)[1:]
    assert len(pins) == len(locked(name)) > 5
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "http" not in text
    assert "-index" not in text


def test_both_images_have_the_same_versions():
    cpu, cuda = locked("cpu"), locked("cuda12")
    assert cpu.items() <= cuda.items()
    assert any(name.startswith("cupy") for name in cuda)


@pytest.mark.parametrize("name", EXTRAS)
def test_bill_of_materials_lists_what_is_locked(name):
    bill = json.loads((ROOT / "docker" / "sbom" / f"{name}.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "gpusmote"
    assert {part["name"]: part["version"] for part in bill["components"]} == locked(name), "run ci/sbom"
