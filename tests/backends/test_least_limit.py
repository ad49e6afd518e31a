"""The least limit that an error names is one that holds."""

import re
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from gpusmote import ADASYN, SMOTE
from gpusmote.errors import MemoryLimitError


@pytest.mark.parametrize("sampler", [SMOTE, ADASYN])
@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array, sp.csc_matrix])
@pytest.mark.parametrize(("n", "d"), [(1500, 200), (900, 800), (60, 20_000)])
def test_the_least_limit_of_a_plan_of_many_columns_holds(sampler, wrap, n, d, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(n, d)).astype(np.float32) * (rng.random((n, d)) < 0.1)
    X, y = wrap(dense), np.repeat([0, 1], [n - n // 3, n // 3])
    with pytest.raises(MemoryLimitError) as refused:
        sampler(random_state=0, device="cpu", memory_limit=1000).plan(X, y)
    found = re.search(r"memory_limit=(\d+) is the least", refused.value.hint)
    assert found is not None
    least = int(found[1])
    sampler(random_state=0, device="cpu", memory_limit=least).plan(X, y)  # what is loaded on first use is not counted
    tracemalloc.start()
    try:
        sampler(random_state=0, device="cpu", memory_limit=least).plan(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= least
