"""The rows that a seed gives do not change from one version to the next: digests of results, kept in same_rows.json.

The tables are made of random bits, so that every platform has the same ones. After a change that is meant to change
rows (which needs a new name, see CONTRIBUTING.md), ``python -m tests.test_same_rows`` writes the digests anew.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import gpusmote
from gpusmote import ADASYN, SMOTE, BorderlineSMOTE, oversample

STORED = Path(__file__).parent / "same_rows.json"


def table(n, d, counts, dtype="f8"):
    """Columns that are sums of whole numbers, so that rows crowd in the middle; exact in float32, ties included."""
    bits = np.random.Philox(key=[n, d]).random_raw(n * d * 4).reshape(n, d, 4)
    X = ((bits >> np.uint64(52)).sum(axis=2).astype("i8") - 8192).astype(dtype) / 64
    y = np.repeat(np.arange(len(counts)), counts)
    X[:, 0] += 24 * y  # classes overlap
    return X, y


TABLES = {
    "small": lambda: table(120, 4, [80, 40]),
    "float32": lambda: table(900, 7, [700, 150, 50], "f4"),
    "wide": lambda: table(300, 90, [200, 100]),
    "sparse": lambda: (scipy.sparse.csr_array(table(200, 9, [150, 50])[0] * (np.arange(9) % 3)), [0] * 150 + [1] * 50),
    "one column": lambda: table(400, 1, [300, 100]),
    "integers": lambda: ((table(500, 5, [400, 100])[0] // 8).astype("i4"), np.repeat(["no", "yes"], [400, 100])),
    "pruned": lambda: table(24_000, 3, [6_000, 18_000], "f4"),
}  # fmt: skip
SAMPLERS = {
    "SMOTE": lambda **more: SMOTE(**more),
    "BorderlineSMOTE": lambda **more: BorderlineSMOTE(no_seeds="skip", **more),
    "borderline-2": lambda **more: BorderlineSMOTE(kind="borderline-2", no_seeds="skip", **more),
    "ADASYN": lambda **more: ADASYN(no_seeds="skip", **more),
}
STRATEGIES = {"auto": "auto", "odd": lambda y: {label: int((y == label).sum()) + 37 for label in np.unique(y)[:-1]}}


def cases():
    """Name of each case to what makes its result."""
    found = {}
    for name, make in TABLES.items():
        for sampler, kind in SAMPLERS.items():
            for seed, strategy, bits in ((0, "auto", "philox"), (2**40 + 3, "odd", "philox"), (7, "auto", "mt19937")):
                found[f"{sampler} {name} {seed} {bits}"] = lambda m=make, k=kind, s=seed, t=strategy, b=bits: k(
                    random_state=s, sampling_strategy=STRATEGIES[t], bit_generator=b, device="cpu"
                ).fit_resample(*m())
    frame = TABLES["small"]
    for name, k in (("SMOTE", gpusmote.r.SMOTE), ("BLSMOTE", gpusmote.r.BLSMOTE), ("ADAS", gpusmote.r.ADAS)):
        found[f"r.{name}"] = lambda k=k: (k(*frame(), random_state=3).syn_data.to_numpy()[:, :-1].astype("f8"), ())
    found["oversample"] = lambda: (_oversampled(*frame()), ())
    return found


def _oversampled(X, y):
    import pandas as pd

    done = oversample(pd.DataFrame(X).assign(label=y), "label", percentage=170, k_neighbors=3, random_state=1)
    return done.to_numpy()


def digest(result):
    X, y = result
    X = X.toarray() if scipy.sparse.issparse(X) else np.ascontiguousarray(X)
    text = f"{X.dtype.str} {X.shape} {hashlib.sha256(X.tobytes()).hexdigest()} {np.asarray(y).tolist()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@pytest.mark.parametrize("name", cases())
@pytest.mark.filterwarnings("ignore::gpusmote.errors.GpusmoteWarning")  # a class without seeds is skipped
def test_the_rows_of_a_seed_are_those_of_earlier_versions(name):
    assert digest(cases()[name]()) == json.loads(STORED.read_text())[name]


if __name__ == "__main__":
    STORED.write_text(json.dumps({name: digest(make()) for name, make in cases().items()}, indent=1) + "\n")
