"""SciPy sparse matrices and arrays."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gpusmote.containers import wrap_features
from gpusmote.errors import InputError, InputTypeError, NonFiniteError
from tests.containers.helpers import BACKEND, append, taken

CLASSES = [sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.csc_array]
DTYPES = ["f4", "f8", "i1", "i4", "i8", "u2", "?"]
quick = settings(derandomize=True, deadline=None, max_examples=60)


def dense_tables(dtype: str):
    shape = npst.array_shapes(min_dims=2, max_dims=2, max_side=6)
    numbers = npst.arrays(np.int8, shape, elements=st.sampled_from([0, 0, 0, 1, 7, 100]))
    return numbers.map(lambda X: X.astype(dtype))


@quick
@given(st.sampled_from(CLASSES), st.sampled_from(DTYPES).flatmap(dense_tables), st.data())
def test_sparse_and_dense_give_the_same_rows(kind, X, data):
    matrix = kind(X)
    rows = np.array(data.draw(st.lists(st.integers(0, len(X) - 1), max_size=5)), np.int64)
    for chosen in (None, slice(0, 2), rows):
        dense, sparse = taken(X, chosen), taken(matrix, chosen)
        assert dense.dtype == sparse.dtype
        assert sparse.flags.c_contiguous
        assert np.array_equal(dense, sparse)
    new = taken(X, rows) / 2
    whole = append(matrix, new)
    assert type(whole) is kind
    assert whole.dtype == X.dtype
    assert np.array_equal(whole.toarray(), append(X, new))
    back = wrap_features(matrix).only(new, BACKEND)
    assert type(back) is kind
    assert np.array_equal(back.toarray(), wrap_features(X).only(new, BACKEND))
    assert wrap_features(matrix).fingerprint() == wrap_features(X).fingerprint()


@pytest.mark.parametrize("kind", CLASSES)
def test_stored_entries_come_back_as_they_are(kind):
    """Explicit zeros, unsorted and duplicate entries, and arrays with unused ends; csc entries are sorted."""
    data, indices, indptr = np.array([0.0, 5.0, 2.0, 2.0, 9.0]), np.array([2, 0, 1, 1, 0]), np.array([0, 2, 4, 4])
    X = kind((data, indices, indptr), shape=(3, 3))
    before = [part.tobytes() for part in (X.data, X.indices, X.indptr)]
    assert np.array_equal(taken(X), X.toarray())
    whole = append(X, np.array([[0.0, 1.0, 0.0], [3.0, 0.0, 4.0]]))
    assert np.array_equal(whole.toarray(), np.vstack([X.toarray(), [[0, 1, 0], [3, 0, 4]]]))
    assert [part.tobytes() for part in (X.data, X.indices, X.indptr)] == before
    if whole.format == "csr":
        assert whole.data[:4].tolist() == [0.0, 5.0, 2.0, 2.0]
        assert whole.indices[:4].tolist() == [2, 0, 1, 1]
    else:
        assert whole.data.tolist() == [5.0, 0.0, 3.0, 2.0, 2.0, 1.0, 4.0]
        assert whole.indices.tolist() == [0, 2, 4, 1, 1, 3, 4]


@pytest.mark.parametrize("kind", [*CLASSES, sp.coo_array, sp.lil_matrix, sp.dok_array, sp.bsr_array])
def test_stored_negative_zeros_are_kept(kind):
    X = kind(sp.coo_array((np.array([1.0, -0.0, 2.0]), ([0, 0, 1], [0, 2, 1])), shape=(2, 3)))
    whole = append(X, np.ones((2, 3)))
    table = wrap_features(X)
    work = table.take(None, BACKEND)
    assert np.signbit(work).tolist() == [[False, False, True], [False] * 3]
    for found in (whole, table.only(work, BACKEND)):  # a batch of a plan is made by take and only
        entries = found.tocsr()[:2].tocoo()
        assert entries.data[(entries.row == 0) & (entries.col == 2)].tobytes() == np.float64(-0.0).tobytes()


@pytest.mark.parametrize("name", ["coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("family", ["matrix", "array"])
def test_other_formats_come_back_as_csr(name, family):
    X = np.array([[0.0, 1.0], [2.0, 0.0]])
    whole = append(getattr(sp, f"{name}_{family}")(X), np.array([[0.0, 3.0]]))
    assert type(whole) is getattr(sp, f"csr_{family}")
    assert whole.toarray().tolist() == [[0.0, 1.0], [2.0, 0.0], [0.0, 3.0]]


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_the_index_type_is_kept_where_it_suffices(kind, index):
    X = kind(np.eye(3))
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    whole = append(X, np.ones((2, 3)))
    assert whole.indices.dtype == whole.indptr.dtype
    assert whole.indices.dtype == (
        np.int32 if issubclass(kind, sp.spmatrix) else index
    )  # matrices choose by themselves
    assert whole.nnz == 9


@pytest.mark.parametrize("kind", CLASSES)
def test_no_new_rows(kind):
    X = kind(np.eye(3))
    whole = append(X, np.empty((0, 3)))
    assert type(whole) is kind
    assert whole is not X
    assert np.array_equal(whole.toarray(), np.eye(3))


def test_the_dense_whole_never_exists():
    n, d = 20_000, 2_000  # 320 MB if it were dense
    X = sp.random_array((100, d), density=0.01, format="csr", random_state=0)
    block = np.zeros((1, d))
    block[0, ::500] = 1.0

    def write(start, stop, out):
        out[...] = block

    tracemalloc.start()
    whole = wrap_features(X).append(n, write, BACKEND)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole.shape == (n + 100, d)
    assert whole.nnz == X.nnz + n * 4
    assert peak < 80e6


def test_memory_is_estimated_from_what_is_stored():
    X = sp.csr_array(np.eye(50))
    assert wrap_features(X).itemsize == (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 2500


@pytest.mark.parametrize("kind", [*CLASSES, sp.coo_array])
def test_non_finite_entries_are_named(kind):
    X = np.zeros((5, 4))
    X[0, 1], X[2, 1], X[4, 3] = np.nan, np.inf, np.nan
    with pytest.raises(NonFiniteError) as caught:
        wrap_features(kind(X)).check_finite()
    assert caught.value.message == (
        "X holds 3 values that cannot be used in 2 of its 4 columns: column 1 (1 NaN, 1 infinite), column 3 (1 NaN)."
    )
    wrap_features(kind(np.eye(3))).check_finite()
    wrap_features(kind((3, 3), dtype=float)).check_finite()


@pytest.mark.parametrize("kind", CLASSES)
def test_integers_that_float64_rounds_are_refused(kind):
    with pytest.raises(InputError, match="integer -9007199254740993 in column 2"):
        wrap_features(kind(np.array([[0, 1, 0], [0, 0, -(2**53) - 1]]))).check_finite()


@pytest.mark.parametrize("kind", [*CLASSES, sp.coo_array])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.array([1.5e308, 1.5e308]),
            "X holds 1 value that cannot be used in 1 of its 3 columns: column 1 (1 infinite).",
        ),
        (
            np.array([3e38, 3e38], np.float32),
            "X holds 1 value that cannot be used in 1 of its 3 columns: column 1 (1 infinite).",
        ),
        (np.array([2**53, 1]), "X holds the integer 9007199254740993 in column 1; "),
    ],
)
def test_repeated_entries_are_checked_by_their_sum(kind, values, message):
    entries = np.append(values, values[:1] * 0 + 1)
    X = kind(sp.coo_array((entries, ([1, 1, 0], [1, 1, 2])), shape=(2, 3)))
    if X.format != "coo":  # which had put them together
        pointers = ([2, 1, 1], [0, 1, 3]) if X.format == "csr" else ([1, 1, 0], [0, 0, 2, 3])
        X = kind((entries[[2, 0, 1]] if X.format == "csr" else entries, *pointers), shape=(2, 3))
    before = X.data.tobytes()
    with pytest.raises(InputError) as caught:
        wrap_features(X).check_finite()
    assert caught.value.message.startswith(message)
    assert X.data.tobytes() == before


def test_what_is_no_table_of_numbers():
    with pytest.raises(InputTypeError, match="Complex data not supported"):
        wrap_features(sp.csr_array(np.eye(2, dtype=complex)))
    with pytest.raises(InputError, match=r"Found array with 0 sample\(s\) \(shape=\(0, 3\)\)"):
        wrap_features(sp.csr_matrix((0, 3)))
    with pytest.raises(InputError, match="Expected 2D array, got 1D array instead"):
        wrap_features(sp.coo_array(np.array([1.0, 0.0])))


def test_nothing_is_lost_when_the_writing_fails():
    X = sp.csr_array(np.eye(3))
    before = X.data.tobytes()

    def fail(start, stop, out):
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        wrap_features(X).append(2, fail, BACKEND)
    assert X.data.tobytes() == before
