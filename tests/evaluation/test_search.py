"""The benchmark of searches, with tiny tables: that it measures what it says, not how fast."""

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
    # Two errors of the mean over 1,000 queries more than the target was asked for; the recall is of all rows.
    assert 0.94 <= found["recall"] <= 1
    assert " of " in found["probed"]


def test_the_table_says_where_the_exact_search_served(capsys):
    search.main(["1500"])
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(search.TABLES)
    for line, name in zip(lines[2:], search.TABLES, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[:2] == [name, "1,500"]
        assert cells[-2:] == ["100.0%", "exact"]
