"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.helpers import table, write


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(table(), tmp_path / "in.parquet")
