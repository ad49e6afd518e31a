"""oversample: tables in, tables of the same kind out, and exactly the rows that the percentage says."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

import gpusmote
from gpusmote.errors import InputError, InputTypeError, NonFiniteError, ParameterError, TooFewRowsError
from gpusmote.oversample_table import oversample
from tests.standin.install import cuda

__all__ = ["cuda"]


@pytest.fixture(scope="module")
def donors():
    """Breast cancer with 178 malignant rows among 357 benign; the label stands between the features."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    table = X.iloc[:, :4].assign(whole=(X.iloc[:, 5] * 1000).round().astype("int64"), large=X.iloc[:, 3] > 600)
    table.insert(2, "kind", np.where(y == 0, "malignant", "benign"))
    return table[(y == 1) | ((y == 0).cumsum() <= 178)].reset_index(drop=True)


MAKERS = {
    "pandas": lambda frame: frame.copy(),
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}
every_library = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def to_pandas(table):
    return table if isinstance(table, pd.DataFrame) else table.to_pandas()


def schema(table):
    return table.dtypes.to_dict() if isinstance(table, pd.DataFrame) else table.schema


@every_library
@pytest.mark.parametrize(("percentage", "minority"), [(0, 178), (100, 356), (200, 534), (50, 267), (33.3, 237)])
def test_rows_columns_and_dtypes(make, percentage, minority, donors):
    table = make(donors)
    result = oversample(table, "kind", percentage=percentage, random_state=0)
    assert type(result) is type(table)
    assert schema(result) == schema(table)
    frame = to_pandas(result)
    assert (frame["kind"] == "malignant").sum() == minority
    assert len(frame) == 357 + minority
    pd.testing.assert_frame_equal(frame.iloc[: len(donors)], donors)
    assert (frame["kind"].iloc[len(donors) :] == "malignant").all()
    pd.testing.assert_frame_equal(to_pandas(table), donors)


@every_library
def test_rows_are_those_of_the_estimator(make, donors):
    result = to_pandas(oversample(make(donors), "kind", percentage=150, k_neighbors=3, random_state=7))
    sampler = gpusmote.SMOTE(sampling_strategy={"malignant": 178 + 267}, k_neighbors=3, random_state=7)
    X, _ = sampler.fit_resample(donors.drop(columns="kind"), donors["kind"])
    pd.testing.assert_frame_equal(result.drop(columns="kind"), X)


def test_one_neighbor_by_default(donors):
    features = donors.drop(columns=["kind", "whole", "large"]).to_numpy()
    rare = features[(donors["kind"] == "malignant").to_numpy()]
    distance = ((rare[:, None] - rare) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    step = rare[distance.argmin(axis=1)] - rare
    made = oversample(donors.drop(columns=["whole", "large"]), "kind", random_state=0).drop(columns="kind")
    for row in made.to_numpy()[len(donors) :]:
        gap = ((row - rare) * step).sum(axis=1) / (step * step).sum(axis=1)
        off = np.abs(rare + gap[:, None] * step - row).max(axis=1)
        assert ((off < 1e-9) & (gap >= -1e-9) & (gap < 1)).any()


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series([3, 7]),
        pd.Series([False, True]),
        pd.Series([0.0, 1.0]),
        pd.Series(["b", "a"], dtype="category"),
        pd.Series([4, 2], dtype="Int8"),
        pd.Series([datetime.datetime(2024, 1, 1), datetime.datetime(2023, 1, 1)]),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_any_two_labels_in_pandas(labels, donors):
    rare = (donors["kind"] == "malignant").astype(int)
    table = donors.assign(kind=labels.iloc[rare].array)
    result = oversample(table, "kind", random_state=0)
    assert result["kind"].dtype == table["kind"].dtype
    assert (result["kind"] == labels[1]).sum() == 356


@pytest.mark.parametrize("dtype", [pl.Enum(["malignant", "benign"]), pl.Categorical()], ids=str)
def test_polars_categories_stay(dtype, donors):
    table = pl.from_pandas(donors).with_columns(pl.col("kind").cast(dtype))
    result = oversample(table, "kind", random_state=0)
    assert result.schema == table.schema
    assert (result["kind"].cast(str) == "malignant").sum() == 356


def test_column_names_that_are_numbers():
    table = pd.DataFrame({0: np.arange(9.0), 1: [1] * 3 + [2] * 6})
    assert oversample(table, 1, random_state=0)[1].tolist() == [1] * 3 + [2] * 6 + [1] * 3


def test_pyarrow_dictionaries_stay(donors):
    table = pa.Table.from_pandas(donors.astype({"kind": "category"}), preserve_index=False)
    result = oversample(table, "kind", random_state=0)
    assert result.schema.equals(table.schema)
    assert result["kind"].to_pylist().count("malignant") == 356


def test_equal_classes_take_the_first_in_sorted_order(donors):
    table = donors.groupby("kind").head(20)
    result = oversample(table, "kind", percentage=50, random_state=0)
    assert result["kind"].value_counts().to_dict() == {"benign": 30, "malignant": 20}


def test_random_state_repeats_the_call(donors):
    first = oversample(donors, "kind", random_state=3)
    pd.testing.assert_frame_equal(oversample(donors, "kind", random_state=3), first)
    assert not oversample(donors, "kind", random_state=4).equals(first)


def test_rows_are_the_same_to_the_bit_on_a_device(donors, cuda):
    expected = oversample(donors, "kind", random_state=3)
    machine = cuda()
    pd.testing.assert_frame_equal(oversample(donors, "kind", random_state=3, device="cuda"), expected, check_exact=True)
    assert machine.launches


def test_the_result_shares_no_memory_with_the_table(donors):
    table = donors.copy()
    for percentage in (0, 100):
        result = oversample(table, "kind", percentage=percentage, random_state=0)
        result.iloc[:, 0] = -1.0
        result["kind"] = "changed"
        pd.testing.assert_frame_equal(table, donors)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.decimals(0, 400, places=2), st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_the_total_is_that_of_the_decimal_number(percentage, have, seed):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"x": rng.normal(size=have + 61), "y": np.repeat([1, 0], [have, 61])})
    result = oversample(table, "y", percentage=float(percentage), random_state=0)
    assert len(result) - len(table) == math.floor(percentage * have / Decimal(100))


def test_a_percentage_that_floating_point_has_too_small():
    table = pd.DataFrame({"x": np.arange(3000.0), "y": np.repeat([1, 0], [1000, 2000])})
    assert Decimal.from_float(33.3) < Decimal("33.3")
    assert len(oversample(table, "y", percentage=33.3)) == 3333


# What is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percentage", [-1, -0.5, math.nan, math.inf, True, "100", None])
def test_percentages_that_are_none(percentage, donors):
    with pytest.raises(ParameterError, match=r"percentage is .*\. It must be a finite number of at least 0\."):
        oversample(donors, "kind", percentage=percentage)


@every_library
def test_a_column_that_is_not_there(make, donors):
    with pytest.raises(InputError, match=r"no column 'sort'.*'mean radius'"):
        oversample(make(donors), "sort")


@every_library
@pytest.mark.parametrize(("change", "message"), [("third", "3 classes"), ("benign", "1 class;")])
def test_other_than_two_classes(make, change, message, donors):
    kind = donors["kind"].where(donors["kind"] == "benign", change)
    kind = kind.where(donors.index != 0, "malignant" if change == "third" else change)
    with pytest.raises(InputError, match=f"'kind' has {message}"):
        oversample(make(donors.assign(kind=kind)), "kind")


@every_library
def test_columns_that_are_no_numbers(make, donors):
    with pytest.raises(InputTypeError, match="ward"):
        oversample(make(donors.assign(ward="east")), "kind")


@every_library
def test_missing_values(make, donors):
    gap = donors.astype({"mean radius": float})
    gap.loc[5, "mean radius"] = np.nan
    with pytest.raises(NonFiniteError, match="mean radius"):
        oversample(make(gap), "kind")
    unlabeled = donors.copy()
    unlabeled.loc[5, "kind"] = None
    with pytest.raises(InputError, match="in 1 of its 535 rows"):
        oversample(make(unlabeled), "kind")


@pytest.mark.parametrize("table", [np.eye(3), [[1, 0]], pl.LazyFrame({"kind": [0, 1]}), pd.Series([1]), None])
def test_what_is_no_table(table):
    with pytest.raises(InputTypeError, match="table is of type"):
        oversample(table, "kind")


def test_repeated_column_names(donors):
    with pytest.raises(InputError, match="'large' 2 times"):
        oversample(donors.rename(columns={"whole": "large"}), "kind")


def test_neighbors(donors):
    with pytest.raises(TooFewRowsError, match=r"'malignant' has 178 rows.*k_neighbors must be less"):
        oversample(donors, "kind", k_neighbors=178)
    assert len(oversample(donors, "kind", k_neighbors=177)) == 357 + 356
    with pytest.raises(ParameterError, match="k_neighbors"):
        oversample(donors, "kind", k_neighbors=0)
    one = pd.concat([donors[donors["kind"] == "benign"], donors[donors["kind"] == "malignant"].head(1)])
    with pytest.raises(TooFewRowsError, match="'malignant' has 1 row"):
        oversample(one, "kind")


def test_parameters_reach_the_sampler(donors):
    with pytest.raises(ParameterError, match="random_state"):
        oversample(donors, "kind", random_state="x")
    with pytest.raises(ParameterError, match="device"):
        oversample(donors, "kind", device=3)
