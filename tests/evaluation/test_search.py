"""The comparison of searches, with tiny tables."""

from __future__ import annotations

import importlib.util

import pytest

from gpusmote.evaluation import search
from gpusmote.neighbors import approximate

pytestmark = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="FAISS is not installed")


@pytest.mark.parametrize("name", search.TABLES)
def test_both_searches_are_compared(monkeypatch, name):
    monkeypatch.setattr(approximate, "SMALLEST_WORK", 0)
    monkeypatch.setattr(approximate, "_MOST_ON_HOST", 1.0)
    found = search.compare(name, 3_000, 2)
    assert (found["table"], found["rows"]) == (name, 3_000)
    assert found["exact"] > 0
    assert found["approximate"] > 0
    # The search adds two standard errors over 1,000 queries to the target; this recall is of all rows.
    assert 0.94 <= found["recall"] <= 1
    assert " of " in found["probed"]


def test_the_table_says_if_the_exact_search_was_used(capsys):
    search.main(["1500"])
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(search.TABLES)
    for line, name in zip(lines[2:], search.TABLES, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[:2] == [name, "1,500"]
        assert cells[-2:] == ["100.0%", "exact"]
