"""The result, field by field, and the order of its rows; each test says which fact about smotefamily 1.3.1 it holds."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pandas as pd
import pytest

from gpusmote import r
from tests.smotefamily.helpers import features

FIELDS = ["data", "syn_data", "orig_N", "orig_P", "K", "K_all", "dup_size", "outcast", "eps", "method"]


def test_signatures():
    def defaults(f):
        return [(p.name, p.default) for p in inspect.signature(f).parameters.values()][2:]

    assert defaults(r.SMOTE) == [("K", 5), ("dup_size", 0), ("random_state", None)]
    assert defaults(r.BLSMOTE) == [
        ("K", 5),
        ("C", 5),
        ("dup_size", 0),
        ("method", "type1"),
        ("random_state", None),
    ]
    assert defaults(r.ADAS) == [("K", 5), ("random_state", None)]


def test_fields_always_all_ten_and_frozen(call, cancer):
    result = call(*cancer)
    assert [field.name for field in dataclasses.fields(result)] == FIELDS
    assert result.outcast is None
    assert result.eps is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.K = 3


def test_k_k_all_and_method(cancer):
    smote = r.SMOTE(*cancer, K=4)
    assert (smote.K, smote.K_all, smote.method) == (4, None, "SMOTE")
    for kind in ("type1", "type2"):
        result = r.BLSMOTE(*cancer, K=3, C=7, method=kind)
        assert (result.K, result.K_all, result.method) == (3, 7, f"Borderline-SMOTE {kind}")
    adas = r.ADAS(*cancer, K=3)
    assert (adas.K, adas.K_all, adas.eps, adas.outcast, adas.method) == (3, None, None, None, "ADASYN")


def test_dup_size_of_adas_is_a_number_for_each_row_of_orig_p(cancer):
    result = r.ADAS(*cancer, random_state=1)
    assert result.dup_size.dtype == np.int64
    assert result.dup_size.shape == (len(result.orig_P),)
    assert result.dup_size.sum() == len(result.syn_data) > 0
    assert repr(result).startswith(
        f"<ADASYN (K=5, dup_size=0 to {result.dup_size.max()}): 60 rows of class 'malignant'"
    )


def test_columns_in_order_class_last_and_a_column_of_that_name_stays(call, cancer):
    X, target = cancer
    X = X.rename(columns={X.columns[2]: "class"})
    result = call(X, target)
    for frame in (result.data, result.syn_data, result.orig_N, result.orig_P):
        assert frame.columns.tolist() == [*X.columns, "class"]
    assert np.array_equal(features(result.orig_P), X.loc[result.orig_P.index].to_numpy())
    assert set(result.data.iloc[:, -1]) == {"malignant", "benign"}
    assert "malignant" in repr(result)


def test_feature_type_numeric_in_data_own_in_the_originals(call, cancer):
    X, target = cancer
    X = X.iloc[:, :2].assign(
        whole=X.iloc[:, 2].astype("int32"),
        yes=X.iloc[:, 3] > X.iloc[:, 3].median(),
        nullable=X.iloc[:, 0].round().astype("Int64"),
        single=X.iloc[:, 1].astype("float32"),
    )
    before = X.copy()
    result = call(X, target)
    for frame in (result.data, result.syn_data):
        assert (frame.dtypes.iloc[:-1] == np.float64).all()
    for frame in (result.orig_P, result.orig_N):
        assert frame.dtypes.iloc[:-1].tolist() == X.dtypes.tolist()
    assert not (features(result.syn_data)[:, 2] % 1 == 0).all()  # an integer column is numeric, not rounded
    pd.testing.assert_frame_equal(X, before)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([7, 3]), ("7", "3")),
        (np.array([7.0, 3.0]), ("7.0", "3.0")),
        (np.array([True, False]), ("True", "False")),
        (pd.Categorical(["b", "a"]), ("b", "a")),
        (pd.array([7, 3], dtype="Int64"), ("7", "3")),
    ],
)
def test_class_type_text_but_in_orig_n(labels, text, cancer):
    X, target = cancer
    target = labels.take((target == "malignant").astype(int))
    result = r.SMOTE(X, target, random_state=0)
    assert set(result.data["class"]) == set(text)
    for frame in (result.syn_data, result.orig_P):
        assert set(frame["class"]) == {text[1]}
        assert pd.api.types.is_string_dtype(frame["class"])
    assert result.orig_N["class"].dtype == target.dtype
    assert (result.orig_N["class"] == labels[0]).all()


def test_data_is_orig_p_syn_data_orig_n_counted_from_zero(call, cancer):
    result = call(*cancer, random_state=1)
    parts = [result.orig_P, result.syn_data, result.orig_N]
    assert np.array_equal(features(result.data), np.concatenate([features(part) for part in parts]))
    assert result.data["class"].tolist() == [label for part in parts for label in part["class"]]
    assert result.data.index.equals(pd.RangeIndex(len(result.data)))
    assert result.syn_data.index.equals(pd.RangeIndex(len(result.syn_data)))


def test_orig_p_is_shuffled_and_keeps_its_row_names(call, cancer):
    X, target = cancer
    first, again, other = (call(X, target, random_state=seed).orig_P.index for seed in (0, 0, 1))
    expected = X.index[target == "malignant"]
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert first.tolist() != expected.tolist()
    assert sorted(first) == sorted(expected)


def test_shuffle_puts_every_row_everywhere():
    X = pd.DataFrame({"a": np.arange(30.0)})
    target = [0] * 4 + [1] * 26
    orders = {tuple(r.SMOTE(X, target, K=1, random_state=seed).orig_P.index) for seed in range(200)}
    assert len(orders) == 24


def test_orig_n_of_several_classes_in_the_order_of_x(wine):
    X, target = wine
    result = r.SMOTE(X, target)
    others = np.flatnonzero(target != 2)  # 59, 71 and 48 rows
    pd.testing.assert_frame_equal(result.orig_N.iloc[:, :-1], X.iloc[others])
    assert result.orig_N["class"].tolist() == target[others].tolist()
    assert set(result.syn_data["class"]) == {"2"}
    assert result.dup_size == (59 + 71 - 48) // 48


def test_minority_of_equals_is_the_first_in_sorted_order(wine):
    X, _ = wine
    X = X.iloc[:30]
    target = np.array(["z", "b", "a"]).repeat([14, 8, 8])
    assert set(r.SMOTE(X, target, random_state=0).syn_data["class"]) == {"a"}
    factor = pd.Categorical(target, categories=["z", "b", "a"])
    assert set(r.SMOTE(X, factor, random_state=0).syn_data["class"]) == {"b"}
    assert r.SMOTE(X, np.repeat([2, 10], [8, 22])).orig_P["class"].iloc[0] == "2"
