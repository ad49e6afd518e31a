"""``ci/image_parts`` as the package that ``ci/image`` makes of it, and the scripts without a suffix as modules."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "ci"))


def script(path: str):
    """A script of this checkout as a module, without leaving bytecode beside it."""
    loader = SourceFileLoader(Path(path).stem, str(ROOT / path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    wrote, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = wrote
    return module


@pytest.fixture(scope="session")
def slim():
    return script("docker/slim.py")


@pytest.fixture(scope="session")
def sbom():
    return script("ci/sbom")
