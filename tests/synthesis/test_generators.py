"""Generators through samplers of a few lines: copies of any columns, segments that leave [0, 1], points, recipes."""

from __future__ import annotations

import datetime
import pickle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote import SMOTE, Plan
from gpusmote.base.recipe import Recipe
from gpusmote.base.sampler import BaseSampler
from gpusmote.errors import InputError, InputTypeError, PlanError
from gpusmote.random_stream import class_key
from tests.standin.install import cuda

__all__ = ["cuda"]

STEADY = settings(derandomize=True, deadline=None, max_examples=30)


class Repeat(BaseSampler):
    """Repeats rows, whatever they hold."""

    _repeats_rows = True

    def _recipe(self, task):
        return Recipe(task.rows, task.own, generator="copy")


class OfNumbers(SMOTE):
    """A sampler by a function of (sampler, task)."""

    def _recipe(self, task):
        return self.rule(task)

    @classmethod
    def by(cls, rule, **parameters):
        sampler = cls(**{"random_state": 5, **parameters})
        sampler.rule = rule
        return sampler


def line(task, k=3):
    """From a half of the way before the seed to one and a half of the way to its neighbor."""
    return Recipe(task.rows, task.own, k, reach=lambda neighbors: (neighbors * 0.0 - 0.5, neighbors * 0.0 + 1.5))


def towards_corners(task):
    """To two points that are no rows: the smallest and the largest value of each column."""
    values = task.own.values
    targets = task.backend.xp.stack([values.min(axis=0), values.max(axis=0)])
    return Recipe(task.rows[::2], task.own, targets=targets)


def in_everything(task):
    values = task.everyone.values
    return Recipe(task.rows, task.everyone, targets=values.min(axis=0)[None] - 1)


def three_parts(task):
    """A third of the rows each: on segments, as copies, and towards a point."""
    amounts = task.apportion(task.backend.xp.asarray([1, 1, 1]))
    rows = task.rows
    thirds = [
        Recipe(rows[:20], task.own, 3),
        Recipe(rows[10:25], task.own, generator="copy"),
        Recipe(rows[20:], task.own, targets=task.own.values[:1] * 2),
    ]
    return [
        Recipe(**{**vars(recipe), "n_new": int(n)}) for recipe, n in zip(thirds, amounts, strict=True)
    ]  # fmt: skip


def counted_copies(task):
    counts = task.apportion(task.backend.xp.arange(len(task.rows)))
    return Recipe(task.rows, task.own, counts=counts, generator="copy")


RULES = {
    rule.__name__: rule for rule in (line, towards_corners, in_everything, three_parts, counted_copies)
}  # fmt: skip


def table(dtype="f8"):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(160, 4)).astype(dtype)
    return X, rng.permutation(np.repeat(["a", "b", "c"], [90, 30, 40]))


@pytest.mark.parametrize("bit_generator", ["philox", "mt19937"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", RULES)
def test_every_way_to_the_rows_gives_the_same(name, dtype, bit_generator, tmp_path):
    X, y = table(dtype)
    sampler = OfNumbers.by(RULES[name], bit_generator=bit_generator)
    plan = sampler.plan(X, y)
    assert plan.counts == {"a": 0, "b": 60, "c": 50}
    X_res, y_res = sampler.fit_resample(X, y)
    rows = X_res[len(X) :]
    assert X_res[: len(X)].tobytes() == X.tobytes()
    assert y_res[len(y) :].tolist() == ["b"] * 60 + ["c"] * 50
    plan.save(tmp_path / "plan")
    for again in (plan, pickle.loads(pickle.dumps(plan)), Plan.load(tmp_path / "plan", X)):
        assert again.rows().tobytes() == rows.tobytes()
        assert again.rows(17, 93).tobytes() == rows[17:93].tobytes()
        assert np.array_equal(again.origin(), sampler.sample_origins_)
        assert np.array_equal(again.origin(17, 93), sampler.sample_origins_[17:93])
        parts = [X_part for X_part, _ in again.batches(33, shuffle=False)]
        assert np.concatenate(parts).tobytes() == X_res.tobytes()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", RULES)
def test_a_device_gives_the_same_bits(cuda, name, dtype):
    cuda()
    X, y = table(dtype)
    here = OfNumbers.by(RULES[name], device="cpu")
    expected = here.fit_resample(X, y)[0]
    there = OfNumbers.by(RULES[name], device="cuda")
    assert there.fit_resample(X, y)[0].tobytes() == expected.tobytes()
    assert np.array_equal(there.sample_origins_, here.sample_origins_)


@pytest.mark.parametrize("bit_generator", ["philox", "mt19937"])
def test_shares_may_leave_the_segment(bit_generator):
    X, y = table()
    plan = OfNumbers.by(line, bit_generator=bit_generator, sampling_strategy={"b": 2030}).plan(X, y)
    origin = plan.origin()
    gap = origin["gap"]
    assert -0.5 <= gap.min() < -0.48
    assert 1.48 < gap.max() < 1.5
    assert abs(gap.mean() - 0.5) < 0.05
    base, neighbor = X[origin["base"]], X[origin["neighbor"]]
    assert np.array_equal(plan.rows(), base + gap[:, None] * (neighbor - base))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_towards_points_that_are_no_rows(dtype):
    X, y = table(dtype)
    plan = OfNumbers.by(towards_corners).plan(X, y)
    origin, rows = plan.origin(), plan.rows()
    assert (origin["neighbor"] == -1).all()
    assert (y[origin["base"]] == origin["class"]).all()
    corner = {(label, end): getattr(X[y == label], end)(axis=0) for label in "bc" for end in ("min", "max")}
    seen = set()
    for found, row in zip(origin, rows, strict=True):
        base = X[found["base"]].astype("f8")
        for end in ("min", "max"):
            point = corner[found["class"], end].astype("f8")
            if np.array_equal((base + found["gap"] * (point - base)).astype(dtype), row):
                seen.add((found["class"], end))
                break
        else:
            pytest.fail(f"{row} lies on no segment from {base}")
    assert seen == set(corner)


def test_a_copy_is_its_base_as_often_as_its_count():
    X, y = table()
    plan = OfNumbers.by(counted_copies).plan(X, y)
    origin = plan.origin()
    assert plan.rows().tobytes() == X[origin["base"]].tobytes()
    assert (origin["neighbor"] == -1).all()
    assert (origin["gap"] == 0).all()
    assert y[origin["base"]].tolist() == origin["class"].tolist()
    _, times = np.unique(origin["base"][:60], return_counts=True)
    assert times.tolist() == sorted(times.tolist())


def test_each_recipe_has_a_stream_of_its_own():
    X, y = table()
    whole = OfNumbers.by(three_parts).plan(X, y).origin()
    assert len(np.unique(whole["gap"][:20])) == 20
    assert not np.array_equal(whole["gap"][:20], whole["gap"][40:60])

    def other_first(task):
        """The last two as before, beside another first one."""
        recipes = three_parts(task)
        return [Recipe(task.rows[3:9], task.own, 2, n_new=recipes[0].n_new), *recipes[1:]]

    other = OfNumbers.by(other_first).plan(X, y).origin()
    assert np.array_equal(other[20:60], whole[20:60])
    assert not np.array_equal(other["base"][:20], whole["base"][:20])


@STEADY
@given(st.integers(0, 2**70), st.integers(0, 5), st.integers(0, 5))
def test_keys_of_recipes_and_classes_differ(seed, position, recipe):
    keys = [class_key((seed,), position), *(class_key((seed,), position, r) for r in (recipe, recipe + 1))]
    keys += [class_key((seed,), position + 1), class_key((seed,), position + 1, recipe)]
    assert len({key.tobytes() for key in keys}) == len(keys)
    words = np.random.SeedSequence(seed, spawn_key=(position, recipe)).generate_state(2, np.uint64)
    assert keys[1].tolist() == words.tolist()


def n_new(task, *amounts):
    return [Recipe(task.rows, task.own, 3, n_new=n) for n in amounts]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda task: n_new(task, 1), "make 1 row instead of 60"),
        (lambda task: n_new(task, 30, None), "make 90 rows instead of 60"),
        (lambda task: Recipe(task.rows, task.own, 3, counts=task.rows * 0 + 1), "counts that sum to 30 instead of 60"),
        (lambda task: Recipe(task.rows, task.own), "neither k nor targets"),
        (lambda task: [*n_new(task, 30), Recipe(task.rows[:0], task.own, 3, n_new=30)], "no seeds, but rows to make"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(rule, message):
    with pytest.raises(PlanError, match=message):
        OfNumbers.by(rule).fit_resample(*table())


def far(task):
    return Recipe(task.rows, task.own, targets=task.own.values[:1] * 0 + np.finfo(task.own.values.dtype).max)


def nowhere(task):
    return Recipe(task.rows, task.own, targets=task.own.values[:1] * np.nan)


def long_line(task):
    return Recipe(task.rows, task.own, 3, reach=lambda neighbors: (neighbors * 0.0, neighbors * 0.0 + 1e3))


@pytest.mark.parametrize(
    ("rule", "dtype", "scale", "fits"),
    [
        (far, "f4", 1e-30, True),
        (far, "f8", 1e-30, True),
        (far, "f4", 0.9, True),  # the difference overflows float32, in which it is not computed
        (far, "f8", 0.9, False),
        (nowhere, "f4", 1e-30, False),
        (nowhere, "f8", 1e-30, False),
        (long_line, "f4", 1e-4, True),
        (long_line, "f8", 1e-4, True),
        (long_line, "f4", 0.1, False),
        (long_line, "f8", 0.1, False),
    ],
)
def test_rows_that_would_overflow_are_refused(rule, dtype, scale, fits):
    X, y = table()
    X = (X * (float(np.finfo(dtype).max) * scale / np.abs(X).max())).astype(dtype)
    sampler = OfNumbers.by(rule)
    if fits:
        assert np.isfinite(sampler.fit_resample(X, y)[0]).all()
        return
    with pytest.raises(InputError, match=f"overflow {np.dtype(dtype).name}"):
        sampler.fit_resample(X, y)


def test_a_recipe_of_no_rows_needs_no_seeds_and_moves_no_other():
    X, y = table()

    def rule(task):
        return [Recipe(task.rows[:0], task.own, 3, n_new=0), *n_new(task, task.n_new)]

    plan = OfNumbers.by(rule).plan(X, y)
    key = class_key((5,), 1, 1)
    gap = (np.random.Philox(key=key).random_raw(120)[1::2] >> np.uint64(11)) * 2.0**-53
    assert plan.origin(0, 60)["gap"].tolist() == gap.tolist()


N = 24
TEXT = [None if i == 20 else f"r{i % 5}" for i in range(N)]
DAYS = [None if i == 17 else datetime.date(2020, 1, 1 + i) for i in range(N)]
NUMBERS = [float("nan") if i == 22 else i / 4 for i in range(N)]
COLUMNS = {"text": TEXT, "day": DAYS, "number": NUMBERS, "large": [2**60 + i for i in range(N)]}
Y = np.repeat(["no", "yes"], [16, 8])


def of_pandas(**more):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({**COLUMNS, "kind": pandas.Categorical(["u", "v", None] * 8)}, index=range(7, 7 + N))
    frame["moment"] = pandas.date_range("2020", periods=N, freq="h", tz="Europe/Oslo")
    frame["whole"] = pandas.array([None, 1, 2] * 8, dtype="Int8")
    return frame


def of_polars():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    return polars.DataFrame(COLUMNS).with_columns(polars.col("text").cast(polars.Categorical).alias("kind"))


def of_arrow():
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    kind = arrow.array(TEXT).dictionary_encode()
    return arrow.table({**COLUMNS, "kind": kind, "list": [[i, None] for i in range(N)]})


def of_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    return torch.tensor(np.array(NUMBERS).reshape(N, 1), requires_grad=True)


CONTAINERS = {
    "pandas": (of_pandas, lambda X, rows: X.iloc[rows].reset_index(drop=True)),
    "polars": (of_polars, lambda X, rows: X[rows]),
    "pyarrow": (of_arrow, lambda X, rows: X.take(rows)),
    "record batch": (lambda: of_arrow().combine_chunks().to_batches()[0], lambda X, rows: X.take(rows)),
    "objects": (lambda: np.array([TEXT, DAYS, NUMBERS], dtype=object).T, lambda X, rows: X[rows]),
    "text": (lambda: np.array(TEXT, dtype="U4")[:, None], lambda X, rows: X[rows]),
    "dates": (lambda: np.array(DAYS, dtype="M8[s]")[:, None], lambda X, rows: X[rows]),
    "big endian": (lambda: np.array(NUMBERS).astype(">f4")[:, None], lambda X, rows: X[rows]),
    "masked": (lambda: np.ma.masked_equal(np.arange(N)[:, None], 19), lambda X, rows: X[rows]),
    "lists": (lambda: [[TEXT[i], NUMBERS[i]] for i in range(N)], lambda X, rows: [X[i] for i in rows]),
    "csr": (lambda: scipy.sparse.csr_array(np.array(NUMBERS)[:, None] * [0, 1]), lambda X, rows: X[rows]),
    "coo": (lambda: scipy.sparse.coo_matrix(np.eye(N)), lambda X, rows: X.tocsr()[rows].tocoo()),
    "torch": (of_torch, lambda X, rows: X.detach()[rows]),
}


def assert_same(found, expected):
    """Type, dtypes and values are the same."""
    assert type(found) is type(expected)
    if hasattr(found, "equals") and hasattr(found, "schema"):
        if hasattr(found.schema, "remove_metadata"):  # pyarrow, to which NaN is no NaN
            assert found.schema == expected.schema
            assert repr(found.to_pylist()) == repr(expected.to_pylist())
        else:
            assert found.schema == expected.schema
            assert found.equals(expected)
    elif hasattr(found, "iloc"):
        import pandas

        pandas.testing.assert_frame_equal(found, expected)
    else:
        assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)
        found, expected = (X.toarray() if scipy.sparse.issparse(X) else X for X in (found, expected))
        found, expected = (X.tolist() if hasattr(X, "tolist") else X for X in (found, expected))
        assert repr(found) == repr(expected)


@pytest.mark.parametrize("name", CONTAINERS)
def test_copies_of_any_columns(name, tmp_path):
    make, rows_of = CONTAINERS[name]
    X, sampler = make(), Repeat(random_state=1, sampling_strategy={"yes": 100})
    X_res, y_res = sampler.fit_resample(X, Y, weight=np.arange(N))
    base = sampler.sample_origins_["base"].copy()
    assert set(base.tolist()) == set(range(16, 24))  # the rows with what is missing are among them
    rows = np.concatenate([np.arange(N), base])
    assert_same(X_res, rows_of(X, rows))
    assert_same(X, make())
    assert y_res.tolist() == Y[rows].tolist()
    assert sampler.metadata_["weight"].tolist() == rows.tolist()
    plan = sampler.plan(X, Y)
    plan.save(tmp_path / "plan")
    for again in (plan, pickle.loads(pickle.dumps(plan)), Plan.load(tmp_path / "plan", make(), Y)):
        assert_same(again.rows(), rows_of(X, base))
        assert_same(again.rows(5, 19), rows_of(X, base[5:19]))
        seen = 0
        for X_batch, y_batch in again.batches(13, shuffle=False):
            assert_same(X_batch, rows_of(X, rows[seen : seen + len(y_batch)]))
            seen += len(y_batch)
        assert seen == len(rows)
        shuffled = [label for _, y_batch in again.batches(13, random_state=0) for label in y_batch]
        assert sorted(shuffled) == sorted(y_res.tolist())


@pytest.mark.parametrize("name", ["pandas", "polars", "pyarrow", "objects", "lists"])
def test_a_saved_plan_of_copies_refuses_another_x(name, tmp_path):
    make, rows_of = CONTAINERS[name]
    Repeat(random_state=1).plan(make(), Y).save(tmp_path / "plan")
    order = np.arange(N)
    order[[3, 4]] = 4, 3
    with pytest.raises(PlanError, match="was made from another X"):
        Plan.load(tmp_path / "plan", rows_of(make(), order), Y)
    with pytest.raises(PlanError, match="was made from another X"):
        Plan.load(tmp_path / "plan", rows_of(make(), order[:-1]), Y[:-1])


def test_copies_follow_the_seed_on_every_device(cuda):
    cuda()
    X = CONTAINERS["objects"][0]()
    results = [Repeat(random_state=4, device=device).fit_resample(X, Y)[0].tolist() for device in ("cpu", "cuda")]
    assert repr(results[0]) == repr(results[1])
    assert repr(results[0]) != repr(Repeat(random_state=3).fit_resample(X, Y)[0].tolist())


def test_rows_on_a_device_are_copied_there(cuda):
    cuda()
    import cupy

    X = np.arange(2.0 * N).reshape(N, 2)
    X[20] = np.nan
    sampler = Repeat(random_state=4)
    expected = sampler.fit_resample(X, Y)[0]
    found = Repeat(random_state=4).fit_resample(cupy.asarray(X), Y)[0]
    assert isinstance(found, cupy.ndarray)
    np.testing.assert_array_equal(cupy.asnumpy(found), expected)


@pytest.mark.parametrize("X", [list(range(N)), ["text"] * N, np.zeros(N), np.zeros((N, 0)), np.zeros((N, 1, 1))])
def test_what_is_no_table_is_no_table_of_copies_either(X):
    with pytest.raises(InputError, match=r"2D array|dim 3|0 feature"):
        Repeat().fit_resample(X, Y)


def test_rows_that_are_not_read_as_numbers_have_no_neighbors():
    class Wrong(Repeat):
        def _recipe(self, task):
            return Recipe(task.rows, task.own, 3)

    with pytest.raises(InputTypeError, match="not read as numbers"):
        Wrong().fit_resample(CONTAINERS["objects"][0](), Y)
    with pytest.raises(InputTypeError, match="X is an int"):
        Repeat().fit_resample(7, Y)
