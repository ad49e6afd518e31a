"""Samplers give the same rows for every container as for NumPy arrays, in the caller's kind of container."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gpusmote import ADASYN, SMOTE, BorderlineSMOTE

SAMPLERS = {
    "smote": SMOTE(random_state=0),
    "borderline-1": BorderlineSMOTE(random_state=0),
    "borderline-2": BorderlineSMOTE(random_state=0, kind="borderline-2"),
    "adasyn": ADASYN(random_state=0),
}


def columns(X):
    return {f"c{j}": X[:, j] for j in range(X.shape[1])}


def pandas_frame(X):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    return pandas.DataFrame(columns(X))


def polars_frame(X):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    return polars.DataFrame(columns(X))


def arrow_table(X):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    return pyarrow.table(columns(X))


def torch_tensor(X):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    return torch.tensor(X)


CONTAINERS = {
    "list": (np.ndarray.tolist, np.array),
    "csr_matrix": (sparse.csr_matrix, lambda X: X.toarray()),
    "csc_array": (sparse.csc_array, lambda X: X.toarray()),
    "pandas": (pandas_frame, lambda X: X.to_numpy()),
    "polars": (polars_frame, lambda X: X.to_numpy()),
    "pyarrow": (arrow_table, lambda X: np.stack([column.to_numpy() for column in X.columns], axis=1)),
    "torch": (torch_tensor, lambda X: X.numpy()),
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_rows_from_every_container(container, name, overlapping):
    wrap, unwrap = CONTAINERS[container]
    X, y = overlapping
    X = np.where(np.abs(X) < 0.3, 0.0, X)  # sparse tables have something to leave out
    wrapped = wrap(X)
    expected, y_expected = SAMPLERS[name].fit_resample(X, y)
    X_res, y_res = SAMPLERS[name].fit_resample(wrapped, y)
    assert type(X_res) is type(wrapped)
    assert np.array_equal(unwrap(X_res), expected)
    assert np.array_equal(y_res, y_expected)

    plan = SAMPLERS[name].plan(wrapped, y)
    assert type(plan.rows(3, 9)) is type(wrapped)
    assert np.array_equal(unwrap(plan.rows(3, 9)), expected[463:469])
    batches = list(plan.batches(333, shuffle=False))
    assert {type(X_part) for X_part, _ in batches} == {type(wrapped)}
    assert np.array_equal(np.concatenate([unwrap(X_part) for X_part, _ in batches]), expected)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float16, np.int64])
def test_whole_numbers_are_rounded_and_batches_hold_what_the_table_holds(dtype, overlapping):
    X, y = overlapping
    X = np.clip(X * 20 + 100, 0, 255).astype(dtype)
    plan = SMOTE(random_state=0).plan(X, y)
    X_res, _ = plan.resample()
    assert X_res.dtype == dtype
    origin = plan.origin()
    base, neighbor = X[origin["base"]].astype(float), X[origin["neighbor"]].astype(float)
    exact = base + origin["gap"][:, None] * (neighbor - base)
    expected = exact.astype(dtype) if dtype == np.float16 else np.rint(exact).astype(dtype)
    assert np.array_equal(X_res[len(X) :], expected)
    assert np.array_equal(np.concatenate([part for part, _ in plan.batches(100, shuffle=False)]), X_res)


def test_a_torch_training_loop_over_batches(overlapping):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    X, y = overlapping
    plan = SMOTE(random_state=0).plan(torch.tensor(X, dtype=torch.float32), torch.tensor(y))
    torch.manual_seed(0)
    model = torch.nn.Linear(5, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for epoch in range(12):
        for X_batch, y_batch in plan.batches(64, random_state=epoch):
            assert X_batch.dtype == torch.float32
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(X_batch)[:, 0], y_batch.float())
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_labels_of_any_kind(overlapping):
    X, codes = overlapping
    expected = SMOTE(random_state=0).fit_resample(X, codes)[0]
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    words = np.array(["no", "yes"])  # in the order of the codes: a class's key is its place among the sorted classes
    kinds = [words[codes], codes.astype(bool), codes - 1.0, list(words[codes])]
    kinds += [pandas.Series(words[codes], dtype="category", name="label"), np.eye(2, dtype=int)[codes]]
    for y in kinds:
        X_res, y_res = SMOTE(random_state=0).fit_resample(X, y)
        assert np.array_equal(X_res, expected)
        assert type(y_res) is type(y)
        assert len(y_res) == 800
