"""The limit that an error asks for is one that works."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.errors import MemoryLimitError
from gpusmote.files.budget import budget_of


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.integers(0, 1 << 34), st.integers(1, 300))
def test_the_least_limit_is_enough_and_one_byte_in_a_hundred_less_is_not(held, n_columns):
    with pytest.raises(MemoryLimitError) as caught:
        budget_of(1, None).check(held, 10, 9, n_columns, "of the class")
    least = int(re.search(r"at least ([\d,]+) bytes", caught.value.hint)[1].replace(",", ""))
    budget_of(least, None).check(held, 10, 9, n_columns, "of the class")
    with pytest.raises(MemoryLimitError):
        budget_of(least - least // 100 - 1, None).check(held, 10, 9, n_columns, "of the class")
