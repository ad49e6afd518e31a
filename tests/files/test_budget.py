"""The limit that an error asks for is one that works."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from gpusmote import SMOTE, BorderlineSMOTE, resample_file
from gpusmote.cli.forecast import forecast
from gpusmote.errors import MemoryLimitError
from gpusmote.files.budget import budget_of, least_limit
from tests.files.helpers import table, write


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.integers(0, 1 << 34), st.integers(1, 300))
def test_the_least_limit_is_enough_and_one_byte_in_a_hundred_less_is_not(held, n_columns):
    least = least_limit(held, 0, n_columns)
    budget_of(least, None).check(held, 10, 9, n_columns, "of the class", least)
    with pytest.raises(MemoryLimitError, match=f"at least {least:,} bytes"):
        budget_of(least - least // 100 - 1, None).check(held, 10, 9, n_columns, "of the class", least)


@pytest.mark.parametrize("limit", ["10KB", "22MB", "25MB", "30MB", "34MB", "50MB"])
@pytest.mark.parametrize(
    "sampler",
    [
        SMOTE(),
        SMOTE(k_neighbors=200),
        SMOTE(bit_generator="mt19937"),
        BorderlineSMOTE(),
        BorderlineSMOTE(k_neighbors=150),
    ],
    ids=["few", "many", "legacy", "borderline", "both"],
)
def test_what_a_refused_run_asks_for_is_enough_and_the_plan_says_the_same(limit, sampler, tmp_path):
    source, out = write(table(12_000), tmp_path / "in.parquet"), tmp_path / "out.parquet"
    sampler = clone(sampler).set_params(device="cpu", random_state=0)
    said = forecast(source, target="class", sampler=sampler, memory_limit=limit)
    refused = None
    try:
        resample_file(source, out, target="class", sampler=sampler, memory_limit=limit)
    except MemoryLimitError as error:
        refused = error
    assert str(said.refusal) == str(refused)
    assert (said.bytes["peak"] > said.bytes["limit"]) == (refused is not None)
    if refused is not None:
        least = int(re.search(r"at least ([\d,]+) bytes", refused.hint)[1].replace(",", ""))
        assert forecast(source, target="class", sampler=sampler, memory_limit=least).refusal is None
        resample_file(source, out, target="class", sampler=sampler, memory_limit=least)
