"""NumPy arrays, lists, and the rule of rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gpusmote.backends import Backend
from gpusmote.containers import wrap_features
from gpusmote.containers.table import store
from gpusmote.errors import InputError, InputTypeError, NonFiniteError
from tests.containers.helpers import BACKEND, append, taken, writer

DTYPES = ["f2", "f4", "f8", ">f4", ">f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", "?"]
NUMBERS = "; rows are interpolated in float64, so every column must be numbers that fit in it."
RESHAPE = (
    "Reshape your data: X.reshape(-1, 1) if it is one feature, X.reshape(1, -1) if it is one row, "
    "X.reshape(len(X), -1) to make one row of each sample."
)
quick = settings(derandomize=True, deadline=None, max_examples=60)


def tables(dtype: str):
    """Arrays of all layouts: C, Fortran, strided."""
    kind = np.dtype(dtype).kind
    elements = {
        "b": st.booleans(),
        "f": st.floats(-1000, 1000, width=16),
        "i": st.integers(-100, 100),
        "u": st.integers(0, 200),
    }[kind]
    arrays = npst.arrays(np.dtype(dtype), npst.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=elements)
    layouts = st.sampled_from([np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]])
    return st.builds(lambda a, layout: layout(a), arrays, layouts)


@quick
@given(st.sampled_from(DTYPES).flatmap(tables), st.data())
def test_take_only_and_append_keep_every_byte(X, data):
    frozen, before = X.view(), X.tobytes()
    frozen.flags.writeable = False
    table = wrap_features(frozen)
    table.check_finite()
    work = table.take(None, BACKEND)
    assert work.dtype == (np.float32 if X.dtype.newbyteorder("=") == np.float32 else np.float64)
    assert work.flags.c_contiguous
    rows = np.array(data.draw(st.lists(st.integers(0, len(X) - 1), max_size=5)), np.int64)
    some = table.take(rows, BACKEND)
    assert some.flags.c_contiguous
    assert np.array_equal(some, work[rows])
    for back in (table.only(some, BACKEND), table.append(len(rows), writer(some), BACKEND)[len(X) :]):
        assert back.dtype == X.dtype
        assert back.tobytes() == X[rows].tobytes()
    whole = table.append(len(rows), writer(some), BACKEND)
    assert whole[: len(X)].tobytes() == before == X.tobytes()
    assert not np.shares_memory(whole, X)


@quick
@given(
    st.sampled_from(["i1", "u1", "i2", "i4", "u4", "i8", "u8"]),
    npst.arrays(np.float64, 20, elements=st.floats(-1e19, 1e19) | st.integers(-400, 400).map(lambda i: i / 2)),
)
def test_integers_are_rounded_to_even_within_the_dtype(dtype, values):
    out = np.empty(len(values), dtype)
    store(values, out)
    info = np.iinfo(dtype)
    for value, stored in zip(values.tolist(), out.tolist(), strict=True):
        exact = min(max(round(value), info.min), info.max)  # Python rounds ties to even, without a float in between
        # The outermost float64 within 64-bit integers is up to 2,047 below their end.
        assert stored == exact or (abs(exact - stored) < 2048 and exact in (info.min, info.max))


def test_the_rule_of_rounding_by_example():
    half = np.array([-0.5, 0.0, 0.49, 0.5, 0.51, 1.0, 7.0])
    out = np.empty(7, bool)
    store(half, out)
    assert out.tolist() == [False, False, False, False, True, True, True]
    small = np.empty(3, np.float16)
    store(np.array([1e6, -1e6, 0.1]), small)
    assert small.tolist() == [65504.0, -65504.0, float(np.float16(0.1))]
    objects = np.empty(2, object)
    store(np.array([1.0, 2.5]), objects)
    assert [type(value) for value in objects] == [float, float]


@pytest.mark.parametrize("d", [1, 3])
def test_blocks_cover_all_rows_once(d):
    new = np.arange(1000.0 * d).reshape(-1, d)
    blocks = [
        (start, stop, rows.copy())
        for start, stop, rows in wrap_features(new)._blocks(1000, writer(new), Backend(), block_bytes=7 * 8 * d)
    ]
    assert max(stop - start for start, stop, _ in blocks) == 7
    assert np.array_equal(np.concatenate([rows for _, _, rows in blocks]), new)
    assert list(wrap_features(new)._blocks(0, writer(new), Backend())) == []


def test_lists_come_back_as_lists():
    assert append([[1.0, 2.0], [3.0, 4.5]], np.array([[0.25, 0.5]])) == [[1.0, 2.0], [3.0, 4.5], [0.25, 0.5]]
    whole = append([[1, 2], [3, 4]], np.array([[0.5, 1.5]]))
    assert whole == [[1, 2], [3, 4], [0, 2]]
    assert type(whole[2][1]) is int
    assert append([[True], [False]], np.array([[0.75]])) == [[True], [False], [True]]
    assert wrap_features([[1.5], [2.5]]).only(np.array([[2.0]]), BACKEND) == [[2.0]]
    assert isinstance(append(((1.0,), (2.0,)), np.array([[1.5]])), np.ndarray)


def test_object_arrays_of_numbers():
    X = np.array([[1, 2.5], [True, np.float32(0.5)], [np.int8(3), -1]], dtype=object)
    assert taken(X).dtype == np.float64
    whole = append(X, np.array([[1.5, 2.0]]))
    assert whole.dtype == object
    assert all(a is b for a, b in zip(whole[:3].ravel(), X.ravel(), strict=True))
    assert whole[3].tolist() == [1.5, 2.0]


def test_array_likes_become_arrays():
    class Readable:
        def __array__(self, dtype=None, copy=None):
            return np.arange(4.0).reshape(2, 2)

    whole = append(Readable(), np.ones((1, 2)))
    assert type(whole) is np.ndarray
    assert whole.shape == (3, 2)


def test_memory_maps_are_read_as_arrays(tmp_path):
    np.save(tmp_path / "X.npy", np.arange(6.0).reshape(3, 2))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    whole = append(X, np.zeros((1, 2)))
    assert type(whole) is np.ndarray
    assert np.array_equal(whole[:3], X)


def test_nothing_is_lost_when_the_writing_fails():
    X = np.arange(6.0).reshape(3, 2)
    before = X.tobytes()

    def fail(start, stop, out):
        out[...] = -1
        raise RuntimeError("half way")

    for table in (X, X.astype(np.int32), X.tolist()):
        with pytest.raises(RuntimeError, match="half way"):
            wrap_features(table).append(2, fail, BACKEND)
    assert X.tobytes() == before


def test_fingerprint_depends_on_values_and_work_dtype_not_on_the_container():
    X = np.arange(12.0).reshape(4, 3)
    reference = wrap_features(X).fingerprint()
    assert wrap_features(np.asfortranarray(X)).fingerprint() == reference
    assert wrap_features(X.astype(int)).fingerprint() == reference
    assert wrap_features(X.tolist()).fingerprint() == reference
    changed = X.copy()
    changed[3, 2] = np.nextafter(11.0, 12.0)
    others = [wrap_features(other).fingerprint() for other in (changed, X.astype("f4"), X.reshape(3, 4))]
    assert len({reference, *others}) == 4


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.arange(3.0), f"Expected 2D array, got 1D array instead: X has shape (3,). {RESHAPE}"),
        (1.5, f"Expected 2D array, got 0D array instead: X has shape (). {RESHAPE}"),
        (np.zeros((2, 3, 4)), f"Expected 2D array, got 3D array instead: X has shape (2, 3, 4). {RESHAPE}"),
        (
            np.zeros((0, 2)),
            "Found array with 0 sample(s) (shape=(0, 2)) while a minimum of 1 is required. Check the code that selects "
            "the samples of X.",
        ),
        (
            np.zeros((12, 0)),
            "Found array with 0 feature(s) (shape=(12, 0)) while a minimum of 1 is required. Check the code that "
            "selects the features of X.",
        ),
    ],
)
def test_shapes_that_are_no_table(X, message):
    with pytest.raises(InputError) as caught:
        wrap_features(X)
    assert str(caught.value) == message
    assert not isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((2, 2), complex), "Complex data not supported: X is complex128."),
        (
            np.array([["a", "1"]]),
            f"X has dtype <U1{NUMBERS}",
        ),
        (
            [["1", "2"]],
            f"X has dtype <U1{NUMBERS}",
        ),
        (
            np.zeros((2, 2), "M8[s]"),
            f"X has dtype datetime64[s]{NUMBERS}",
        ),
        (
            np.zeros((2, 2), np.longdouble),
            f"X has dtype {np.dtype(np.longdouble)}{NUMBERS}",
        ),
        (
            np.array([[1, "a"], [2, "b"]], object),
            "X holds objects that are not read as numbers in column 1 (str): could not convert string to float: 'a'.",
        ),
        (
            np.array([[{"foo": "bar"}, 1.0]], object),
            "X holds objects that are not read as numbers in column 0 (dict): float() argument must be a string "
            "or a real number, not 'dict'.",
        ),
        (None, "X is a NoneType, which gpusmote cannot read as a table."),
        ("text", "X is a str, which gpusmote cannot read as a table."),
        ({"a": [1]}, "X is a dict, which gpusmote cannot read as a table."),
    ],
)
def test_types_that_are_no_numbers(X, message):
    with pytest.raises(InputTypeError) as caught:
        wrap_features(X)
    assert caught.value.message == message
    assert caught.value.hint
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_is_read_as_an_array():
    whole = append(np.matrix([[1.0, 2.0]]), np.zeros((1, 2)))
    assert type(whole) is np.ndarray
    assert whole.tolist() == [[1.0, 2.0], [0.0, 0.0]]


def test_ragged_lists_are_an_error():
    with pytest.raises(InputError, match="X cannot be read as a table of numbers"):
        wrap_features([[1.0, 2.0], [3.0]])


def test_non_finite_values_are_named_and_counted():
    X = np.ones((40, 8))
    X[:3, 2], X[5, 2], X[7, 4] = np.nan, np.inf, -np.inf
    with pytest.raises(NonFiniteError) as caught:
        wrap_features(X).check_finite()
    assert str(caught.value) == (
        "X holds 5 values that cannot be used in 2 of its 8 columns: column 2 (3 NaN, 1 infinite), column 4 (1 "
        "infinite). Fill the missing values (for instance with sklearn.impute.SimpleImputer), or drop those rows or "
        "columns, before resampling."
    )


def test_at_most_five_columns_are_named():
    with pytest.raises(NonFiniteError) as caught:
        wrap_features(np.full((2, 7), np.nan)).check_finite()
    assert caught.value.message == (
        "X holds 14 values that cannot be used in 7 of its 7 columns: column 0 (2 NaN), column 1 (2 NaN), "
        "column 2 (2 NaN), column 3 (2 NaN), column 4 (2 NaN) and 2 more."
    )


@quick
@given(st.sampled_from(["f2", "f4", "f8", "O"]), st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 11))
def test_no_non_finite_value_is_missed(dtype, value, position):
    X = np.full(12, 6e4)
    wrap_features(X.reshape(4, 3).astype(dtype)).check_finite()
    X[position] = value
    with pytest.raises(NonFiniteError, match=f"column {position % 3} "):
        wrap_features(X.reshape(4, 3).astype(dtype)).check_finite()


def test_a_sum_that_overflows_is_no_error():
    for dtype in ("f2", "f4", "f8"):
        wrap_features(np.full((9, 2), np.finfo(dtype).max, dtype)).check_finite()


def test_none_counts_as_missing():
    with pytest.raises(NonFiniteError, match=r"column 1 \(1 NaN\)"):
        wrap_features([[1.0, None], [2.0, 3.0]]).check_finite()


@pytest.mark.parametrize("dtype", ["i8", "u8", ">i8", "O"])
def test_integers_that_float64_rounds_are_refused(dtype):
    X = np.array([[1, 2**53], [0, 5]], dtype)
    wrap_features(X).check_finite()
    X[1, 1] = 2**53 + 1
    with pytest.raises(InputError) as caught:
        wrap_features(X).check_finite()
    assert str(caught.value) == (
        "X holds the integer 9007199254740993 in column 1; neighbors and synthetic rows are computed in float64, which "
        "cannot represent all integers beyond 2**53 = 9007199254740992. Drop the column if it is an "
        "identifier; otherwise subtract an offset, or convert it to float64 yourself."
    )
    if dtype != "u8":
        X[1, 1] = -(2**53) - 1
        with pytest.raises(InputError, match="integer -9007199254740993 in column 1"):
            wrap_features(X).check_finite()


def test_python_integers_beyond_any_float():
    with pytest.raises(InputError, match="not read as numbers: int too large to convert to float"):
        wrap_features([[1, -(10**400)], [2, 3]])


@pytest.mark.parametrize("mask", [np.ma.nomask, False, np.zeros((3, 2), bool)])
@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_a_masked_array_without_a_mask_is_an_array(mask, dtype):
    X = np.ma.masked_array(np.arange(6).reshape(3, 2).astype(dtype), mask=mask)
    whole = append(X, np.array([[1.0, 2.0]]))
    assert type(whole) is np.ndarray
    assert whole.dtype == dtype
    assert whole.tolist() == [[0, 1], [2, 3], [4, 5], [1, 2]]


def test_masked_values_are_refused():
    X = np.ma.masked_array(np.zeros((3, 2)), mask=[[0, 0], [0, 1], [1, 0]])
    with pytest.raises(InputError, match="2 masked values; synthetic rows cannot have masked values"):
        wrap_features(X)


@pytest.mark.parametrize("beside", [0.5, np.float32(0.5), 1e300, -1])
@pytest.mark.parametrize("whole", [2**53 + 1, -(2**53) - 1, 2**64 - 1, np.int64(2**53 + 1), 2**80 + 1])
@pytest.mark.parametrize("kind", [list, tuple])
def test_integers_beside_floats_in_a_nested_list_are_not_changed(kind, whole, beside):
    for rows in ([[1.0, 2], [beside, whole]], [[whole, beside], [1, 2]], [[1, whole], [beside, 1.5]]):
        with pytest.raises(InputError, match=f"X holds the integer {int(whole)} in column [01]"):
            wrap_features(kind(map(kind, rows))).check_finite()


def test_large_floats_in_a_nested_list_are_taken():
    X = [[2.0**60, 2**53], [1e300, -(2.0**53)]]
    table = wrap_features(X)
    table.check_finite()
    assert table.take(None, BACKEND).tolist() == X
