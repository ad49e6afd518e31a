"""Labels in every container of y, and targets that are not classes."""

from __future__ import annotations

import collections
import copy

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.multiclass import type_of_target

from gpusmote.containers import wrap_target
from gpusmote.errors import InputError, InputTypeError, NonFiniteError

try:
    import torch
except ImportError:  # then tensors are not among the containers below
    torch = None

quick = settings(derandomize=True, deadline=None, max_examples=80)

NUMPY = [np.int8, np.int64, np.uint64, np.float32, np.float64, bool, "U5", "S5", object, "M8[D]"]
CONTAINERS = [
    *(
        lambda labels, dtype=dtype: np.array(labels, dtype=dtype)
        for dtype in (np.int8, np.int64, np.float32, "U5", object)
    ),
    list,
    *(
        lambda labels, dtype=dtype: pd.Series(labels, name="label", dtype=dtype)
        for dtype in ("Int64", "category", "str")
    ),
    lambda labels: pd.Series(labels, dtype=pd.ArrowDtype(pa.int16()), name=("a", 1)),
    lambda labels: pd.Series(pd.Categorical(labels, categories=[3, 0, 9, 2, 1], ordered=True)),
    lambda labels: pd.DataFrame({"label": labels}),
    lambda labels: pl.Series("label", labels, pl.Int8),
    lambda labels: pl.Series("label", [str(label) for label in labels], pl.Categorical),
    lambda labels: pl.DataFrame({"label": labels}),
    lambda labels: pa.array([str(label) for label in labels]),
    lambda labels: pa.array(labels).cast(pa.float32()),
    lambda labels: pa.chunked_array([labels[:1], labels[1:]], pa.int64()),
    lambda labels: pa.array([str(label) for label in labels]).dictionary_encode(),
    lambda labels: pa.table({"label": labels}),
    lambda labels: np.array(labels).reshape(-1, 1),
    lambda labels: [[label] for label in labels],
]
if torch is not None:
    CONTAINERS += [lambda labels: torch.tensor(labels), lambda labels: torch.tensor(labels, dtype=torch.float32)]


def same(a, b) -> bool:
    """Type, dtype, name, categories, schema and values are equal, but not the index."""
    if isinstance(a, pd.Series):
        pd.testing.assert_series_equal(a, b)
        return True
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b)
        return True
    if isinstance(a, (pl.Series, pl.DataFrame)):
        return type(a) is type(b) and a.equals(b) and getattr(a, "dtype", None) == getattr(b, "dtype", None)
    if isinstance(a, pa.DictionaryArray):
        return type(a) is type(b) and a.type == b.type and a.dictionary_decode().equals(b.dictionary_decode())
    if isinstance(a, (pa.Array, pa.ChunkedArray, pa.Table)):
        return type(a) is type(b) and a.equals(b)
    if isinstance(a, list):
        return type(b) is list and a == b and [type(x) for x in a] == [type(x) for x in b]
    if torch is not None and isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)


@quick
@given(st.sampled_from(CONTAINERS), st.lists(st.integers(0, 3), min_size=1, max_size=8), st.data())
def test_every_container_goes_round(build, labels, data):
    y = build(labels)
    before = copy.deepcopy(y)
    target = wrap_target(y, len(labels))
    present = sorted(set(labels))
    assert [int(label) for label in target.classes.tolist()] == present
    assert [present[code] for code in target.codes.tolist()] == labels
    assert target.counts.tolist() == [labels.count(label) for label in present]
    assert target.codes.dtype == np.int64
    more = data.draw(st.lists(st.sampled_from(range(len(present))), max_size=4))
    codes = np.array(more, np.int64)
    new = [present[code] for code in more]
    if new:
        assert same(target.only(codes), build(new))
    assert same(target.append(codes), build(labels + new)) if new else same(target.append(codes), y)
    assert same(y, before)


@quick
@given(st.sampled_from(NUMPY), st.lists(st.integers(0, 120), min_size=1, max_size=30))
def test_numpy_classes_are_those_of_unique(dtype, numbers):
    y = np.array(numbers, np.int64).astype(dtype)
    target = wrap_target(y, len(y))
    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    assert target.classes.dtype == y.dtype
    assert np.array_equal(target.classes, classes)
    assert np.array_equal(target.codes, codes)
    assert np.array_equal(target.counts, counts)
    assert target.append(np.zeros(2, np.int64)).dtype == y.dtype


def test_strings_of_any_length():
    y = np.array(["b", "a" * 100, "b"], np.dtypes.StringDType())
    target = wrap_target(y, 3)
    assert target.classes.tolist() == ["a" * 100, "b"]
    assert target.classes.dtype == y.dtype
    whole = target.append(np.array([0]))
    assert whole.dtype == y.dtype
    assert whole.tolist() == ["b", "a" * 100, "b", "a" * 100]


def test_tuples_as_labels():
    y = np.empty(3, object)
    y[:] = [("b", 1), ("a", 2), ("b", 1)]
    target = wrap_target(y, 3)
    assert target.classes.tolist() == [("a", 2), ("b", 1)]
    assert target.append(np.array([0])).tolist() == [("b", 1), ("a", 2), ("b", 1), ("a", 2)]


def test_original_objects_stay_the_same_objects():
    y = ["a", "b", "a"]
    whole = wrap_target(y, 3).append(np.array([1]))
    assert whole == ["a", "b", "a", "b"]
    assert all(one is other for one, other in zip(whole, y, strict=False))
    nested = [[0], [1]]
    whole = wrap_target(nested, 2).append(np.array([1]))
    whole[0].append("changed")
    assert nested == [[0], [1]]


def test_sorted_classes_of_a_categorical_are_those_that_occur():
    y = pd.Series(pd.Categorical(["b", "a", "b"], categories=["z", "b", "a"]))
    target = wrap_target(y, 3)
    assert target.classes.tolist() == ["a", "b"]
    assert target.codes.tolist() == [1, 0, 1]
    cut = wrap_target(pd.Series(pd.cut([0.5, 1.5, 0.7], [0.0, 1.0, 2.0])), 3)
    assert cut.codes.tolist() == [0, 1, 0]
    sizes = wrap_target(pd.Series(pd.Categorical([0.5, 1.5])), 2)  # fractions are classes if they are declared so
    assert sizes.classes.tolist() == [0.5, 1.5]


@pytest.mark.parametrize("index", [[7, 3, 8], [0, 1, 2], ["a", "b", "c"]])
@pytest.mark.parametrize("build", [lambda y: pd.Series(y, name="y"), lambda y: pd.DataFrame({"y": y})])
def test_pandas_labels_get_a_default_index(build, index):
    y = build([0, 1, 0]).set_axis(index)
    target = wrap_target(y, 3)
    for found in (target.append(np.array([1, 0])), target.append(np.array([], np.int64)), target.only(np.array([1]))):
        pd.testing.assert_index_equal(found.index, pd.RangeIndex(len(found)), exact=True)
    assert y.index.tolist() == index


INDICATORS = [
    lambda y: y,
    lambda y: y.astype(float),
    lambda y: y.tolist(),
    lambda y: sp.csr_matrix(y),
    lambda y: sp.coo_array(y),
    lambda y: pd.DataFrame(y.astype(bool), columns=list("abc")),
    lambda y: pl.DataFrame(y, schema=["a", "b", "c"]),
]
if torch is not None:
    INDICATORS.append(lambda y: torch.tensor(y))


@pytest.mark.parametrize("build", INDICATORS)
def test_indicator_columns_keep_their_encoding(build):
    plain = np.array([2, 0, 1, 0])
    y = build(np.eye(3, dtype=int)[plain])
    target = wrap_target(y, 4)
    assert target.classes.tolist() == [0, 1, 2]
    assert target.codes.tolist() == plain.tolist()
    whole = target.append(np.array([1, 1]))
    assert type(whole) is type(y)
    dense = whole.toarray() if sp.issparse(whole) else np.asarray(whole)
    assert dense.astype(int).argmax(axis=1).tolist() == [2, 0, 1, 0, 1, 1]
    assert (dense.astype(int).sum(axis=1) == 1).all()
    if isinstance(y, np.ndarray):
        assert whole.dtype == y.dtype
        assert type_of_target(whole) == type_of_target(y)


def test_array_likes_become_arrays():
    assert wrap_target((0, 1, 0), 3).append(np.array([1])).tolist() == [0, 1, 0, 1]
    assert wrap_target(range(2), 2).classes.tolist() == [0, 1]
    assert wrap_target(collections.deque([1, 0]), 2).codes.tolist() == [1, 0]
    assert wrap_target(pd.Categorical(["a", "b"]), 2).append(np.array([0])).tolist() == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            None,
            "The sampler requires y to be passed, but the target y is None. Pass one class label for each row of X.",
        ),
        (
            [0, 1],
            "Found input variables with inconsistent numbers of samples: X has 3 rows, y has shape (2,). Pass one "
            "label for each row of X.",
        ),
        (
            np.array([0.0, 1.25, 2.5]),
            "Unknown label type: continuous. y holds 1.25 in row 1, which is a measurement rather than a class. "
            "Convert y to classes first, for instance y > threshold, or numpy.digitize(y, edges).",
        ),
        (
            np.array([0, 0.5, 1], object),
            "Unknown label type: continuous. y holds 0.5 in row 1, which is a measurement rather than a class. Convert "
            "y to classes first, for instance y > threshold, or numpy.digitize(y, edges).",
        ),
        (
            np.array([[1, 1], [0, 1], [1, 0]]),
            "Multilabel and multioutput targets are not supported. y has shape (3, 2), and not every row of it is a "
            "single 1 among zeros. Pass one label for each row, or one indicator column for each class.",
        ),
        (
            np.array([["a", "b"]] * 3),
            "Multilabel and multioutput targets are not supported. y has shape (3, 2), and not every row of it is a "
            "single 1 among zeros. Pass one label for each row, or one indicator column for each class.",
        ),
        (
            np.zeros((3, 2, 2), int),
            "Multilabel and multioutput targets are not supported. y has shape (3, 2, 2), and not every row of it is a "
            "single 1 among zeros. Pass one label for each row, or one indicator column for each class.",
        ),
        (
            np.array(5),
            "Found input variables with inconsistent numbers of samples: X has 3 rows, y has shape (). Pass one label "
            "for each row of X.",
        ),
    ],
)
def test_what_is_no_list_of_classes(y, message):
    with pytest.raises(InputError) as caught:
        wrap_target(y, 3)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([1, 2, 3]) + 1j, "Complex data not supported: y is complex128."),
        (
            ["a", 1, "a"],
            "Unknown label type: the classes of y cannot be sorted, their types are int, str ('<' not supported "
            "between instances of 'int' and 'str').",
        ),
        (np.array([{}, {}, {}], object), "Unknown label type: unhashable type: 'dict'."),
        ("abc", "y should be a 1d array, got a str."),
        (5, "y should be a 1d array, got an int."),
        (np.zeros(3, "V4"), "Unknown label type: y is |V4."),
    ],
)
def test_labels_of_no_usable_type(y, message):
    with pytest.raises(InputTypeError) as caught:
        wrap_target(y, 3)
    assert caught.value.message == message
    assert caught.value.hint


def test_ragged_labels():
    with pytest.raises(InputError, match="Unknown label type: y cannot be read as an array"):
        wrap_target([[0], [1, 2]], 2)


MISSING = [
    np.array([0, np.nan, 1, np.nan]),
    np.array([0, np.inf, 1, -np.inf]),
    ["a", None, "b", None],
    [0, None, 1, np.nan],
    np.array(["a", np.nan, "b", pd.NA], object),
    np.array(["2024-01-01", "NaT", "2024-01-02", "NaT"], "M8[D]"),
    np.ma.masked_array([0, 1, 2, 3], [False, True, False, True]),
    pd.Series(["a", None, "b", None]),
    pd.Series([1, None, 0, None], dtype="Int64"),
    pd.Series(["a", None, "b", None], dtype="category"),
    pd.DataFrame({"y": pd.array([1, None, 0, None], "int64[pyarrow]")}),
    pl.Series([1, None, 0, None]),
    pl.DataFrame({"y": ["a", None, "b", None]}),
    pa.array([1, None, 0, None]),
    pa.array(["a", None, "b", None]).dictionary_encode(),
    pa.chunked_array([pa.array(["a", None, "b", None]).dictionary_encode()]),
    pa.table({"y": [True, None, False, None]}),
]
if torch is not None:
    MISSING.append(torch.tensor([1.0, float("nan"), 0.0, float("nan")]))


@pytest.mark.parametrize("y", MISSING)
def test_missing_labels_are_counted(y):
    with pytest.raises(NonFiniteError) as caught:
        wrap_target(y, 4)
    assert str(caught.value) == (
        "y holds missing labels, NaN or infinity (inf) in 2 of its 4 rows (first: 1, 3). Drop these rows from X and y, "
        "or give them a label."
    )


@pytest.mark.parametrize("n_classes", [2, 1000])
def test_the_rows_of_each_class(n_classes):
    y = np.random.default_rng(0).permutation(np.arange(3 * n_classes) % n_classes)
    target = wrap_target(y, len(y))
    rows = [target.rows_of(c) for c in range(n_classes)]
    assert all(np.array_equal(found, np.flatnonzero(y == c)) for c, found in enumerate(rows))
    sorted_once = n_classes > 2  # not looked for in all of y for each class
    assert (rows[0].base is rows[1].base is not None) == sorted_once
