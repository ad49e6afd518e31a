"""pandas, polars and pyarrow tables."""

from __future__ import annotations

import datetime
import decimal
import time

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder

from gpusmote import SMOTE
from gpusmote.containers import wrap_features
from gpusmote.errors import InputError, InputTypeError, NonFiniteError
from tests.containers.helpers import BACKEND, append, taken, writer

quick = settings(derandomize=True, deadline=None, max_examples=60)

HALF = [pl.Float16] if hasattr(pl, "Float16") and hasattr(nw, "Float16") else []  # both are recent
PANDAS = tuple(int(part) for part in pd.__version__.split(".")[:2])
SPARSE = pd.SparseDtype(float, 0)
PANDAS = {
    "f": [
        "float16",
        "float32",
        "float64",
        "Float32",
        "Float64",
        "halffloat[pyarrow]",
        "float[pyarrow]",
        "double[pyarrow]",
        SPARSE,
    ],
    "i": ["int8", "int32", "int64", "Int8", "Int64", "int16[pyarrow]", "int64[pyarrow]", pd.SparseDtype("int32", 0)],
    "u": ["uint8", "uint64", "UInt16", "uint32[pyarrow]", pd.SparseDtype("uint8", 3)],
    # pandas 2 warns of a deprecation of its own when it concatenates sparse bool columns
    "b": ["bool", "boolean", "bool[pyarrow]", *([pd.SparseDtype(bool, False)] if PANDAS >= (3,) else [])],
}
ALL_PANDAS = [(kind, dtype) for kind, dtypes in PANDAS.items() for dtype in dtypes]
POLARS = {
    "f": [*HALF, pl.Float32, pl.Float64],
    "i": [pl.Int8, pl.Int16, pl.Int32, pl.Int64],
    "u": [pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64],
    "b": [pl.Boolean],
}
ARROW = {
    "f": [*([pa.float16()] if HALF else []), pa.float32(), pa.float64()],
    "i": [pa.int8(), pa.int16(), pa.int32(), pa.int64()],
    "u": [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()],
    "b": [pa.bool_()],
}


def pandas_frame(columns, dtypes):
    X = pd.DataFrame(
        {j: pd.Series(column).astype(dtype) for j, (column, dtype) in enumerate(zip(columns, dtypes, strict=True))}
    )
    X.columns = [f"c{j}" for j in range(len(dtypes))]
    return X


def polars_frame(columns, dtypes):
    return pl.DataFrame([pl.Series(f"c{j}", c, d) for j, (c, d) in enumerate(zip(columns, dtypes, strict=True))])


def arrow_table(columns, dtypes):
    return pa.table({f"c{j}": pa.array(c, d) for j, (c, d) in enumerate(zip(columns, dtypes, strict=True))})


def record_batch(columns, dtypes):
    return arrow_table(columns, dtypes).combine_chunks().to_batches()[0]


@st.composite
def frames(draw):
    """A frame with columns of any dtypes of its library, its values as float64, and the kinds of its columns."""
    build, known = draw(
        st.sampled_from([(pandas_frame, PANDAS), (polars_frame, POLARS), (arrow_table, ARROW), (record_batch, ARROW)])
    )
    kinds = draw(st.lists(st.sampled_from("fiub"), min_size=1, max_size=4))
    if draw(st.booleans()):
        kinds = kinds[:1] * len(kinds)
    dtypes = [draw(st.sampled_from(known[kind])) for kind in kinds]
    if len(set(kinds)) == 1 and draw(st.booleans()):
        dtypes = dtypes[:1] * len(dtypes)
    n = draw(st.integers(1, 6))
    elements = {
        "f": st.integers(-200, 200).map(lambda i: i / 8),
        "i": st.integers(-100, 100),
        "u": st.integers(0, 200),
        "b": st.booleans(),
    }
    columns = [draw(st.lists(elements[kind], min_size=n, max_size=n)) for kind in kinds]
    return build(columns, dtypes), np.array(columns, float).T.reshape(n, len(kinds)), kinds


def part(frame, start, stop):
    return frame.iloc[start:stop].reset_index(drop=True) if isinstance(frame, pd.DataFrame) else frame[start:stop]


def assert_same(a, b):
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    elif isinstance(a, pl.DataFrame):
        assert a.schema == b.schema
        assert a.equals(b)
    else:
        assert a.schema.equals(b.schema, check_metadata=True)
        assert a.equals(b)


@quick
@given(frames(), st.data())
def test_every_frame_goes_round(frame, data):
    X, values, kinds = frame
    copy = X.copy() if isinstance(X, pd.DataFrame) else X.clone() if isinstance(X, pl.DataFrame) else X.slice(0)
    rows = np.array(data.draw(st.lists(st.integers(0, len(X) - 1), max_size=5)), np.int64)
    table = wrap_features(X)
    table.check_finite()
    assert table.names == [f"c{j}" for j in range(len(kinds))]
    for chosen in (None, slice(1, 4), rows):
        work = table.take(chosen, BACKEND)
        assert work.flags.c_contiguous
        assert work.dtype == table.work_dtype
        assert np.array_equal(work, values if chosen is None else values[chosen])
    # Any rows that X has itself survive take -> only; halves are rounded by the rule.
    assert_same(table.only(table.take(slice(0, 3), BACKEND), BACKEND), part(X, 0, 3))
    new = values[rows] / 4
    whole = table.append(len(rows), writer(new), BACKEND)
    assert type(whole) is type(X)
    assert_same(part(whole, 0, len(X)), part(X, 0, len(X)))
    expected = np.column_stack(
        [
            new[:, j] if kind == "f" else (new[:, j] > 0.5) if kind == "b" else np.rint(new[:, j])
            for j, kind in enumerate(kinds)
        ]
    )
    assert np.array_equal(taken(whole)[len(X) :], expected.astype(table.work_dtype))
    assert_same(X, copy)


@pytest.mark.parametrize(("kind", "dtype"), ALL_PANDAS)
@pytest.mark.parametrize("mixed", [False, True])
def test_each_pandas_dtype_is_kept(kind, dtype, mixed):
    X = pd.DataFrame({"a": pd.Series([1, 0, 1]).astype(dtype), "b": pd.Series([0, 1, 1]).astype(dtype)})
    if mixed:
        X["c"] = [0.25, 0.5, 0.75]
    whole = append(X, np.array([[0.75, 0.25, 9.0][: X.shape[1]]]))
    assert whole.dtypes.tolist() == X.dtypes.tolist()
    pd.testing.assert_frame_equal(whole.iloc[:3], X)
    assert whole.iloc[3].tolist()[:2] == ([0.75, 0.25] if kind == "f" else [1, 0])


def test_work_dtype_is_single_only_where_all_columns_are():
    single = pd.DataFrame({"a": np.ones(2, "f4"), "b": pd.array([1.0, 2.0], "Float32")})
    assert wrap_features(single).work_dtype == np.float32
    assert wrap_features(single[["a"]]).work_dtype == np.float32
    assert wrap_features(single.assign(c=np.int8(1))).work_dtype == np.float64
    assert wrap_features(pl.DataFrame({"a": [1.0]}, schema={"a": pl.Float32})).work_dtype == np.float32


@pytest.mark.parametrize(
    "columns",
    [
        pd.Index([0, "a"]),
        pd.Index(["a", "a"]),
        pd.Index([("x", 1), ("y", 2)], tupleize_cols=False),
        pd.MultiIndex.from_tuples([("x", 1), ("x", 2)], names=["up", "down"]),
        pd.Index([1.5, 2.5], name="size"),
        pd.Index(["a", None], dtype=object),
    ],
)
@pytest.mark.parametrize("dtypes", [("f8", "f8"), ("f8", "i8"), (SPARSE, SPARSE)])
def test_pandas_column_names_of_any_kind(columns, dtypes):
    X = pd.concat([pd.Series([1, 2]).astype(dtype) for dtype in dtypes], axis=1)
    X.columns = columns
    X.attrs["source"] = "a survey"
    table = wrap_features(X)
    assert table.names == (["a", "a"] if columns.tolist() == ["a", "a"] else None)
    whole = append(X, np.array([[1.5, 2.5]]))
    pd.testing.assert_index_equal(whole.columns, columns, exact="equiv")
    assert whole.attrs == {"source": "a survey"}
    assert taken(whole)[2].tolist() == [1.5, 2.5 if dtypes[1] != "i8" else 2.0]


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(3, name="row"),
        pd.RangeIndex(5, 8),
        pd.Index([10, 3, 7], name="id"),
        pd.Index([1, 2, 126], dtype="int8"),
        pd.Index([1, 5, 2], dtype="uint16[pyarrow]"),
        pd.Index([1, None, 2], dtype="Int64"),
        pd.Index([1, 1, 2]),
        pd.Index(["a", "b", "c"]),
        pd.date_range("2024-01-01", periods=3),
        pd.MultiIndex.from_product([[1], [1, 2, 3]]),
    ],
)
def test_results_have_a_default_index(index):
    plain = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=index)
    for X in (plain, plain.assign(b=[1, 2, 3]), plain.astype(SPARSE)):
        table = wrap_features(X)
        for whole in (append(X, np.ones((2, X.shape[1]))), table.only(np.ones((2, X.shape[1])), BACKEND)):
            pd.testing.assert_index_equal(whole.index, pd.RangeIndex(len(whole)), exact=True)
        pd.testing.assert_index_equal(X.index, index, exact="equiv")


def test_pandas_sparse_columns_stay_sparse():
    rng = np.random.default_rng(0)
    values = np.where(rng.random((40, 3)) < 0.2, rng.normal(size=(40, 3)), 0.0)
    X = pd.DataFrame(values).astype(SPARSE)
    mixed = X.assign(dense=1.0)
    for frame in (X, mixed):
        new = np.zeros((10, frame.shape[1]))
        new[0] = 1.0
        whole = append(frame, new)
        assert whole.dtypes.tolist() == frame.dtypes.tolist()
        assert whole[0].sparse.density == pytest.approx(((values[:, 0] != 0).sum() + 1) / 50)
        assert np.array_equal(taken(whole), np.vstack([taken(frame), new]))


def test_python_numbers_in_a_pandas_column():
    X = pd.DataFrame({"a": pd.Series([1, 2.5, True], dtype=object), "b": [1, 2, 3]})
    assert taken(X).tolist() == [[1.0, 1.0], [2.5, 2.0], [1.0, 3.0]]
    whole = append(X, np.array([[1.5, 1.5]]))
    assert whole["a"].tolist() == [1, 2.5, True, 1.5]
    assert whole["a"].dtype == object
    with pytest.raises(NonFiniteError, match=r"column 'a' \(2 missing\)"):
        wrap_features(pd.DataFrame({"a": pd.Series([1, None, pd.NA], dtype=object)})).check_finite()
    with pytest.raises(
        InputTypeError, match=r"not read as numbers in column 'a' \(str\): could not convert string to float: 'x'\. "
    ):
        wrap_features(pd.DataFrame({"a": pd.Series([1, None, "x"], dtype=object)}))
    with pytest.raises(InputTypeError, match=r"not read as numbers in column 'a' \(Decimal\)\. "):
        wrap_features(pd.DataFrame({"a": [decimal.Decimal("1.5")]}))


DECIMALS = [decimal.Decimal("1.50"), decimal.Decimal("2.25")]


@pytest.mark.parametrize(
    ("X", "hint"),
    [
        (pd.DataFrame({"d": DECIMALS}), "Convert decimals and fractions to float (X.astype(float))"),
        (np.array([DECIMALS], object), "Convert decimals and fractions to float (X.astype(float))"),
        ([DECIMALS], "Convert decimals and fractions to float (X.astype(float))"),
        (pd.DataFrame({"d": pd.array(DECIMALS, pd.ArrowDtype(pa.decimal256(5, 2)))}), "decimals to float64"),
        (pl.DataFrame({"d": DECIMALS}), "decimals to float64"),
        (pa.table({"d": pa.array(DECIMALS, pa.decimal128(5, 2))}), "decimals to float64"),
    ],
)
def test_decimals_are_refused_with_what_to_do(X, hint):
    with pytest.raises(InputTypeError) as caught:
        wrap_features(X)
    assert hint in caught.value.hint


def test_a_record_batch_comes_back_as_one():
    schema = pa.schema(
        [pa.field("a", pa.int32(), metadata={"unit": "m"}), pa.field("b", pa.float32())], {"made": "now"}
    )
    X = pa.record_batch([pa.array([1, 2, 3], pa.int32()), pa.array([0.5, 1.0, 2.0], pa.float32())], schema=schema)
    for found in (append(X, np.array([[1.5, 0.25]])), wrap_features(X).only(np.array([[1.5, 0.25]]), BACKEND)):
        assert type(found) is pa.RecordBatch
        assert found.schema.equals(schema, check_metadata=True)
        assert found.to_pylist()[-1] == {"a": 2, "b": 0.25}


def test_arrow_metadata_fields_and_chunks_are_kept():
    fields = [pa.field("a", pa.int32(), nullable=False, metadata={"unit": "m"}), pa.field("a", pa.float32())]
    schema = pa.schema(fields, metadata={"made": "by hand"})
    X = pa.table([pa.chunked_array([[1], [2, 3]], pa.int32()), pa.array([0.5, 1.0, 2.0], pa.float32())], schema=schema)
    whole = append(X, np.array([[1.5, 0.25]]))
    assert whole.schema.equals(schema, check_metadata=True)
    assert whole.column(0).to_pylist() == [1, 2, 3, 2]
    assert whole.column(1).to_pylist() == [0.5, 1.0, 2.0, 0.25]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (
            pd.DataFrame({"a": pd.array([1, None, None], "Int64"), "b": [1.0, np.nan, np.inf], "c": [1, 2, 3]}),
            "X holds 4 values that cannot be used in 2 of its 3 columns: column 'a' (2 missing), column 'b' (1 NaN, "
            "1 infinite).",
        ),
        (
            pd.DataFrame({("x", 1): [np.nan]}),
            "X holds 1 value that cannot be used in 1 of its 1 column: column ('x', 1) (1 NaN).",
        ),
        (
            pd.DataFrame({"a": pd.array([1.5, None], "double[pyarrow]")}),
            "X holds 1 value that cannot be used in 1 of its 1 column: column 'a' (1 missing).",
        ),
        (
            pd.DataFrame({"a": pd.arrays.SparseArray([1.0, np.nan])}),
            "X holds 1 value that cannot be used in 1 of its 1 column: column 'a' (1 NaN).",
        ),
        (
            pl.DataFrame({"a": [1, None], "b": [0.5, float("inf")], "c": [True, None]}),
            "X holds 3 values that cannot be used in 3 of its 3 columns: column 'a' (1 missing), "
            "column 'b' (1 infinite), column 'c' (1 missing).",
        ),
        (
            pa.table({"a": [1.0, None], "b": [float("nan"), 0.0]}),
            "X holds 2 values that cannot be used in 2 of its 2 columns: column 'a' (1 missing), column 'b' (1 NaN).",
        ),
    ],
)
def test_missing_values_are_named_and_counted(X, message):
    with pytest.raises(NonFiniteError) as caught:
        wrap_features(X).check_finite()
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("X", "named"),
    [
        (
            pd.DataFrame({"a": pd.array(["x"], "string"), "b": [1], "c": pd.Categorical([1])}),
            "2 columns {}: column 'a' (string), column 'c' (category)",
        ),
        (pd.DataFrame({"t": np.array(["2024-01-01"], "M8[ns]")}), "1 column {}: column 't' (datetime64[ns])"),
        (
            pd.DataFrame({"d": pd.array([decimal.Decimal("1.5")], pd.ArrowDtype(pa.decimal128(5, 2)))}),
            "1 column {}: column 'd' (decimal128(5, 2)[pyarrow])",
        ),
        (pl.DataFrame({"a": ["x"], "b": [[1]]}), "2 columns {}: column 'a' (String), column 'b' (List(Int64))"),
        (
            pl.DataFrame({"d": [datetime.time(1)], "t": [datetime.date(2024, 1, 1)]}),
            "2 columns {}: column 'd' (Time), column 't' (Date)",
        ),
        (
            pa.table({"c": pa.array(["x"]).dictionary_encode()}),
            "1 column {}: column 'c' (dictionary<values=string, indices=int32, ordered=0>)",
        ),
        (pl.DataFrame({"i": [1]}, schema={"i": pl.Int128}), "1 column {}: column 'i' (Int128)"),
    ],
)
def test_columns_that_are_no_numbers_are_named(X, named):
    with pytest.raises(InputTypeError) as caught:
        wrap_features(X)
    assert str(caught.value) == (
        f"X has {named.format('whose type is not numeric')}. Encode text and categories as bool columns, whose "
        "synthetic values are rounded to 0 and 1 (for instance with sklearn.preprocessing.OneHotEncoder(dtype=bool)). "
        "Convert dates and decimals to float64, or drop these columns: rows are interpolated, so every column "
        "must be numbers."
    )


@pytest.mark.parametrize(
    ("X", "hint"),
    [
        (pl.LazyFrame({"a": [1.0]}), "Call X.collect() first."),
        (nw.from_native(pl.DataFrame({"a": [1.0]})), "Pass the native frame: X.to_native()."),
    ],
)
def test_known_kinds_that_are_not_taken(X, hint):
    with pytest.raises(InputTypeError, match="which gpusmote does not read") as caught:
        wrap_features(X)
    assert caught.value.hint == hint


@pytest.mark.parametrize("X", [pd.Series([1.0]), pl.Series([1.0]), pa.array([1.0]), pa.chunked_array([[1.0]])])
def test_single_columns_are_no_tables(X):
    with pytest.raises(InputError, match="Expected 2D array, got 1D array instead"):
        wrap_features(X)


@pytest.mark.parametrize("X", [pd.DataFrame(), pl.DataFrame(), pa.table({})])
def test_empty_frames(X):
    with pytest.raises(InputError, match=r"Found array with 0 sample\(s\)"):
        wrap_features(X)
    with pytest.raises(InputError, match=r"Found array with 0 feature\(s\) \(shape=\(3, 0\)\)"):
        wrap_features(pd.DataFrame(index=range(3)))


@pytest.mark.parametrize("build", [pd.DataFrame, pl.DataFrame, pa.table])
@pytest.mark.parametrize("more", [{}, {"b": [0.5]}])
def test_integers_that_float64_rounds_are_refused(build, more):
    X = build({"id": [2**60], **more})
    with pytest.raises(InputError, match="holds the integer 1152921504606846976 in column 'id'"):
        wrap_features(X).check_finite()


def test_wide_frames_are_written_block_by_block(monkeypatch):
    monkeypatch.setattr("gpusmote.containers.frame_table._FRAME_BYTES", 10 * 2 * 8)
    new = np.arange(66.0).reshape(33, 2)
    for X in (
        pd.DataFrame({"a": [1.0], "b": [1]}),
        pl.DataFrame({"a": [1.0], "b": [1]}),
        pa.table({"a": [1.0], "b": [1]}),
    ):
        whole = append(X, new)
        assert np.array_equal(taken(whole)[1:], new)
        rows = np.arange(33)[::-1]
        assert np.array_equal(taken(whole, rows), taken(whole)[rows])


@pytest.mark.parametrize("build", [pd.DataFrame, pl.DataFrame, pa.table, pa.record_batch])
def test_many_columns_cost_little_each(build, monkeypatch):
    """20,000 columns of 20 rows take about a second. A call of narwhals for each column took ten times as long."""
    monkeypatch.setattr(nw, "from_native", None)
    columns = np.random.default_rng(0).normal(size=(4000, 20))
    X = build({f"c{j}": column if j % 2 else column.astype(int) for j, column in enumerate(columns)})
    start = time.process_time()
    wrap_features(X).check_finite()
    whole = append(X, np.ones((30, 4000)))
    assert time.process_time() - start < 4
    assert whole.shape == (50, 4000)


@pytest.mark.parametrize("fill", [0.0, -0.0, 1.0])
@pytest.mark.parametrize("mixed", [False, True])
def test_negative_zeros_of_sparse_columns_are_kept(fill, mixed):
    column = pd.arrays.SparseArray([1.0, 0.0, 2.0, 3.0], fill_value=fill)
    if fill == 0:
        entries = sp.csc_array((np.array([1.0, -0.0, 2.0]), [0, 1, 2], [0, 3]), shape=(4, 1))  # -0.0 is stored
        column = pd.DataFrame.sparse.from_spmatrix(entries)[0].array.astype(pd.SparseDtype(float, fill))
    X = pd.DataFrame({"a": column, "b": np.ones(4) if mixed else column})
    found = append(X, np.ones((1, 2))).iloc[:4]
    pd.testing.assert_frame_equal(found, X)
    assert np.asarray(found["a"]).tobytes() == np.asarray(X["a"]).tobytes()
    if not mixed:
        table = wrap_features(X)
        again = table.only(table.take(None, BACKEND), BACKEND)
        assert np.asarray(again["a"]).tobytes() == np.asarray(X["a"]).tobytes()


@pytest.mark.parametrize("sparse", [True, False])
def test_dummies_made_as_the_hint_says_stay_dummies(sparse):
    rng = np.random.default_rng(0)
    words, y = rng.choice(["red", "green", "blue"], size=(60, 2)), np.repeat([0, 1], [45, 15])
    with pytest.raises(InputTypeError) as caught:
        SMOTE().fit_resample(words, y)
    assert "OneHotEncoder(dtype=bool)" in caught.value.hint
    X = OneHotEncoder(dtype=bool, sparse_output=sparse).fit_transform(words)
    found, _ = SMOTE(random_state=0).fit_resample(X, y)
    assert found.dtype == bool
    assert found.shape[0] == 90
