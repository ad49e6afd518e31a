"""``docker/slim.py`` and ``ci/image.py``, which are no packages, as modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script(path: str):
    """A script of this checkout as a module of its own."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def slim():
    return script("docker/slim.py")


@pytest.fixture(scope="session")
def image():
    return script("ci/image.py")
