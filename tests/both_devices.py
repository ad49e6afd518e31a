"""Which tests ``pytest -m gpu`` and ``pytest --device`` run again on a device: those of the rows that samplers make."""

from __future__ import annotations

from pathlib import Path

__all__ = ["HELPERS", "MADE_ONCE", "NUMERIC", "ONLY_HOST", "is_numeric"]

NUMERIC = (
    "base/test_recipe.py",
    "base/test_sampler.py",
    "containers/test_samplers.py",
    "over_sampling/test_*.py",
    "smotefamily/test_result.py",
    "smotefamily/test_rows.py",
    "synthesis/test_plan.py",
    "test_imblearn.py",
    "test_oversample_table.py",
)
"""Files below tests/, as patterns."""

ONLY_HOST: dict[str, str] = {
    "test_counts_and_reach": "its own recipe is written in NumPy",
    "test_a_child_forked_after_a_first_call_works": "CUDA does not survive a fork",
    "test_a_search_beyond_memory_is_refused": "it takes away the host's memory",
    "test_numbers_out_of_their_range_are_refused": "it changes a plan's arrays with NumPy",
}
"""Tests of these files that cannot run on a device, and why."""

MADE_ONCE = {"made"}
"""Fixtures that hold what a sampler has made for a whole file: a second run of their tests would see it again."""

HELPERS = {"ci", "standin"}
"""Folders of tests that use the stand-in and say nothing about a device."""


def is_numeric(path: Path) -> bool:
    """Whether a test file is one of :data:`NUMERIC`."""
    return any(path.match(f"tests/{pattern}") for pattern in NUMERIC)
