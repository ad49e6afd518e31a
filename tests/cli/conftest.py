"""Fixtures of the tests of the command line."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.helpers import table, write


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(table(), tmp_path / "in.parquet")


@pytest.fixture(scope="package", autouse=True)
def default_signal_handlers() -> Iterator[None]:
    """Signals that `nohup` or a background shell ignores stay ignored in child processes, so they are reset."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
