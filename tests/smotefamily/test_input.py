"""What smotefamily 1.3.1 gets wrong and what happens here; all other input that is refused, or only read."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gpusmote import r
from gpusmote.errors import (
    GpusmoteWarning,
    InputError,
    InputTypeError,
    MemoryLimitError,
    MissingPackageError,
    NonFiniteError,
    NoSeedsError,
    ParameterError,
    TooFewRowsError,
)
from tests.smotefamily.helpers import features


def test_matrix_and_other_tables_work_with_r_names(call, cancer):
    X, target = cancer
    expected = features(call(X, target, random_state=0).data)
    for table, names in [
        (X.to_numpy(), [f"V{j}" for j in range(1, 7)]),
        (X.to_numpy().tolist(), [f"V{j}" for j in range(1, 7)]),
        (X.to_dict("list"), X.columns.tolist()),
        (pl.from_pandas(X), X.columns.tolist()),
        (pa.Table.from_pandas(X, preserve_index=False), X.columns.tolist()),
        (X.to_records(index=False), X.columns.tolist()),
    ]:
        result = call(table, pl.Series(target.tolist()), random_state=0)
        assert result.data.columns.tolist() == [*names, "class"]
        assert np.array_equal(features(result.data), expected)


def test_matrix_of_one_column_works(cancer):
    X, target = cancer
    for one in (X.iloc[:, :1], X.iloc[:, 0], X.iloc[:, :1].to_numpy()):
        assert len(r.SMOTE(one, target, dup_size=2).syn_data) == 120


def test_floor_0_gives_no_rows_and_says_so(call, cancer):
    X, target = cancer
    close = np.flatnonzero(np.cumsum(target == "benign") * (target == "benign") <= 61)
    with pytest.warns(GpusmoteWarning, match=r"class 'malignant' has 60 rows, the others 61.*dup_size=1"):
        result = call(X.iloc[close], target[close])
    assert (np.max(result.dup_size), len(result.syn_data), len(result.data)) == (0, 0, 121)
    assert result.syn_data.columns.tolist() == result.data.columns.tolist()
    assert result.syn_data.dtypes.tolist() == result.data.dtypes.tolist()


def test_all_safe_is_an_error_that_says_so_and_what_to_do():
    X = np.concatenate([np.arange(10.0), np.arange(1000.0, 1030.0)])[:, None]
    with pytest.raises(
        NoSeedsError, match=r"No row of class 1 has a row of another class among its K=5 nearest .*use SMOTE"
    ):
        r.ADAS(X, [1] * 10 + [0] * 30)


def test_one_neighbor_works_and_c_of_one_is_refused(cancer):
    assert len(r.ADAS(*cancer, K=1).syn_data)
    assert len(r.BLSMOTE(*cancer, K=1, dup_size=1).syn_data)
    with pytest.raises(ParameterError, match="'C' parameter of BLSMOTE"):
        r.BLSMOTE(*cancer, C=1)


def test_danger_k_says_how_many_rows_there_are(cancer):
    X, target = cancer
    n_danger = len(r.BLSMOTE(X, target, method="type2", dup_size=1).syn_data)
    with pytest.raises(TooFewRowsError, match=rf"{n_danger} rows of class 'malignant' in DANGER.* is {n_danger - 1}\."):
        r.BLSMOTE(X, target, K=n_danger)
    assert len(r.BLSMOTE(X, target, K=n_danger - 1, dup_size=1).syn_data) == n_danger


def test_no_danger_row_is_an_error_that_tells_why():
    X = np.concatenate([np.arange(10.0), np.arange(1000.0, 1030.0), [2000.0]])[:, None]
    with pytest.raises(NoSeedsError, match=r"of 11 rows, 1 have no row .* C=3 nearest neighbors, and 10 have more"):
        r.BLSMOTE(X, [1] * 10 + [0] * 30 + [1], C=3)


def test_factor_level_that_no_row_has_is_passed_over(cancer):
    X, target = cancer
    factor = pd.Categorical(target, categories=["absent", "benign", "malignant"])
    result = r.SMOTE(X, factor)
    assert set(result.syn_data["class"]) == {"malignant"}
    assert set(result.data["class"]) == {"benign", "malignant"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda target: target[:-1], "416 labels, X has 417 rows"),
        (lambda target: [*target, "benign"], "418 labels, X has 417 rows"),
        (lambda target: [None, *target[1:]], r"1 missing label \(rows 0, counted"),
        (lambda target: [5, *target[1:]], "cannot be sorted"),
        (lambda target: ["benign"] * len(target), "one class only, 'benign'"),
        (lambda target: target[:, None], "2 dimensions"),
        (lambda target: set(target), "cannot be read as labels"),
    ],
)
def test_na_target_lengths_and_mixtures(call, cancer, change, message):
    X, target = cancer
    with pytest.raises(InputError, match=message):
        call(X, change(target))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_na_majority_and_minority_are_refused_by_column(call, cancer, value, label):
    X, target = cancer
    X = X.copy()
    X.iloc[np.flatnonzero(target == label)[0], 3] = value
    with pytest.raises(NonFiniteError, match="mean area"):
        call(X, target)


@pytest.mark.parametrize("size", [1.5, -1, np.nan, np.inf, True, "2", None, [], [1, 0.5], [[1, 2]]])
def test_fraction_and_other_dup_sizes_are_refused(cancer, size):
    with pytest.raises(ParameterError, match="dup_size is "):
        r.SMOTE(*cancer, dup_size=size)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"K": 0}, "K"),
        ({"K": 2.5}, "K"),
        ({"K": True}, "K"),
        ({"random_state": "x"}, "random_state"),
        ({"method": "type3"}, "method"),
    ],
)
def test_parameters_are_checked(cancer, arguments, name):
    with pytest.raises(ParameterError, match=f"'{name}' parameter of BLSMOTE"):
        r.BLSMOTE(*cancer, **arguments)
    if name != "method":
        with pytest.raises(ParameterError, match=f"'{name}' parameter of ADAS"):
            r.ADAS(*cancer, **arguments)


def test_too_large_k_and_c_name_the_largest_that_fits(cancer):
    X, target = cancer
    with pytest.raises(TooFewRowsError, match=r"60 rows of class 'malignant'.*largest K that fits is 59\."):
        r.SMOTE(X, target, K=60)
    assert r.SMOTE(X, target, K=59).K == 59
    with pytest.raises(TooFewRowsError, match=r"60 rows of class 'malignant'.*largest K that fits is 59\."):
        r.ADAS(X, target, K=60)
    assert r.ADAS(X, target, K=59).K == 59
    with pytest.raises(TooFewRowsError, match=r"417 rows in X.*largest C that fits is 416\."):
        r.BLSMOTE(X, target, C=417)
    with pytest.raises(TooFewRowsError, match="1 row of class"):
        r.SMOTE(X.iloc[:30], [1] * 29 + [0], K=1)


def test_columns_that_are_no_numbers_and_arrays_that_are_no_tables(cancer):
    X, target = cancer
    with pytest.raises(InputTypeError, match="ward"):
        r.SMOTE(X.assign(ward="east"), target)
    for bad in (X.to_numpy()[:, 0], X.to_numpy()[None], [[1.0], [2.0, 3.0]], 3):
        with pytest.raises(InputError):
            r.SMOTE(bad, target)


def test_a_result_that_does_not_fit_is_refused_before_it_is_made(cancer):
    with pytest.raises(
        MemoryLimitError, match=r"would have 60,000,000,000,417 rows x 6 columns.*\bOr ask for fewer rows"
    ):
        r.SMOTE(*cancer, dup_size=10**12)


def test_input_is_never_written_to_nor_shared_with_the_result(cancer):
    X, target = cancer
    values, labels = X.to_numpy(copy=True), target.copy()
    values.flags.writeable = labels.flags.writeable = False
    with warnings.catch_warnings(action="error"):
        result = r.SMOTE(values, labels, random_state=0)
    for frame in (result.data, result.syn_data, result.orig_N, result.orig_P):
        frame.iloc[:, 0] = -1.0
        frame["class"] = "changed"
    assert np.array_equal(values, X.to_numpy())
    assert labels.tolist() == target.tolist()


def test_missing_pandas_is_told_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="pip install pandas") as caught:
        r.SMOTE(np.eye(3), [0, 1, 1])
    assert isinstance(caught.value, ImportError)


def test_pandas_is_not_needed_to_import_the_interfaces():
    code = "import sys; sys.modules['pandas'] = None; import gpusmote.r, gpusmote.oversample_table"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
