"""Plans: any slice, provenance, batches, replay."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote import ADASYN, SMOTE, BorderlineSMOTE, Plan, atomic_write, config_context
from gpusmote.errors import FileError, MemoryLimitError, ParameterError, PlanError

STEADY = settings(derandomize=True, deadline=None, max_examples=40)


def table(seed=0, dtype=np.float64, labels=(0, 1, 2)):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(230, 4)).astype(dtype)
    y = rng.permutation(np.repeat(np.array(labels), [150, 30, 50]))
    return X, y


SAMPLERS = {
    "smote": SMOTE(random_state=3),
    "borderline-1": BorderlineSMOTE(random_state=3, kind="borderline-1"),
    "borderline-2": BorderlineSMOTE(random_state=3, kind="borderline-2"),
    "adasyn": ADASYN(random_state=3),
    "mt19937": SMOTE(random_state=3, bit_generator="mt19937"),
    "adasyn mt19937": ADASYN(random_state=3, bit_generator="mt19937"),
}


@pytest.fixture(params=SAMPLERS, scope="module")
def sampler(request):
    return SAMPLERS[request.param]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"], scope="module")
def made(sampler, request):
    X, y = table(dtype=request.param)
    return X, y, sampler.plan(X, y), sampler.fit_resample(X, y)


def test_length_and_counts(made):
    X, _, plan, (X_res, _) = made
    assert plan.counts == {0: 0, 1: 120, 2: 100}
    assert len(plan) == 220 == len(X_res) - len(X)
    assert list(plan.counts) == sorted(plan.counts)
    assert "220 synthetic rows on cpu" in repr(plan)


def test_originals_first_then_the_rows_of_the_plan(made):
    X, y, plan, (X_res, y_res) = made
    assert X_res.dtype == X.dtype
    assert X_res[: len(X)].tobytes() == X.tobytes()
    assert X_res[len(X) :].tobytes() == plan.rows().tobytes()
    assert np.array_equal(y_res, np.concatenate([y, plan.labels()]))
    assert np.array_equal(plan.labels(), np.repeat([1, 2], [120, 100]))


def test_any_slice_is_the_whole(made):
    _, _, plan, _ = made
    rows, labels, origin = plan.rows(), plan.labels(), plan.origin()

    @STEADY
    @given(st.tuples(st.integers(0, 220), st.integers(0, 220)).map(sorted))
    def check(bounds):
        start, stop = bounds
        assert plan.rows(start, stop).tobytes() == rows[start:stop].tobytes()
        assert np.array_equal(plan.labels(start, stop), labels[start:stop])
        assert np.array_equal(plan.origin(start, stop), origin[start:stop])

    check()


def test_origin_is_where_the_rows_come_from(made):
    X, y, plan, _ = made
    origin = plan.origin()
    assert origin.dtype.names == ("class", "base", "neighbor", "gap")
    base, neighbor = X[origin["base"]].astype(np.float64), X[origin["neighbor"]].astype(np.float64)
    expected = base + origin["gap"][:, None] * (neighbor - base)
    assert np.array_equal(plan.rows(), expected.astype(X.dtype))
    assert np.array_equal(y[origin["base"]], origin["class"])
    assert ((origin["gap"] >= 0) & (origin["gap"] < 1)).all()
    assert (origin["base"] != origin["neighbor"]).all()


def test_slices_that_are_none(made):
    _, _, plan, _ = made
    for start, stop in [(-1, 3), (5, 4), (0, 221), (300, 301)]:
        with pytest.raises(PlanError, match="The plan has 220"):
            plan.rows(start, stop)
        with pytest.raises(PlanError):
            plan.origin(start, stop)
    assert plan.rows(220, 220).shape == (0, 4)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("size", [1, 7, 100, 449, 450, 1000])
def test_batches_hold_each_row_once(made, size, shuffle):
    _, _, plan, (X_res, y_res) = made
    parts = list(plan.batches(size, shuffle=shuffle, random_state=0))
    assert [len(X_part) for X_part, _ in parts[:-1]] == [size] * (len(parts) - 1)
    assert 1 <= len(parts[-1][0]) <= size
    X_all = np.concatenate([X_part for X_part, _ in parts])
    y_all = np.concatenate([y_part for _, y_part in parts])
    assert X_all.dtype == X_res.dtype
    if shuffle:
        assert not np.array_equal(y_all, y_res)
        order, expected = np.lexsort([*X_all.T, y_all]), np.lexsort([*X_res.T, y_res])
        X_all, y_all, X_res, y_res = X_all[order], y_all[order], X_res[expected], y_res[expected]
    assert X_all.tobytes() == X_res.tobytes()
    assert np.array_equal(y_all, y_res)


def test_batches_repeat_for_the_same_seed_and_differ_for_another():
    plan = SMOTE(random_state=0).plan(*table())
    orders = [np.concatenate([y for _, y in plan.batches(50, random_state=seed)]).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_batches_of_no_rows():
    with pytest.raises(PlanError, match="at least 1 row"):
        SMOTE().plan(*table()).batches(0)


def test_a_plan_does_not_see_later_changes_of_x():
    X, y = table()
    for sampler in SAMPLERS.values():
        ours = X.copy()
        plan = sampler.plan(ours, y)
        before = plan.rows()
        ours[:] = 0.0
        assert np.array_equal(plan.rows(), before)


@pytest.mark.parametrize("labels", [(0, 1, 2), ("no", "some", "yes"), (0.0, 1.0, 2.0), (-7, 300, 70_000)], ids=str)
def test_replay_to_the_bit(sampler, labels, tmp_path):
    X, y = table(labels=labels)
    plan = sampler.plan(X, y)
    plan.save(tmp_path / "a.plan")
    again = Plan.load(tmp_path / "a.plan", X.copy())
    assert again.counts == plan.counts
    assert again.rows().tobytes() == plan.rows().tobytes()
    assert np.array_equal(again.origin(), plan.origin())
    for ours, theirs in zip(plan.resample(), again.resample(), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.plan"]


def test_labels_that_are_objects_survive_replay(tmp_path):
    X, y = table(labels=("no", "some", "yes"))
    y = y.astype(object)
    SMOTE(random_state=0).plan(X, y).save(tmp_path / "plan")
    assert Plan.load(tmp_path / "plan", X).labels().dtype == object


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X + np.eye(*X.shape) * 1e-12,
        lambda X: X[::-1].copy(),
        lambda X: X.astype(np.float32),
        lambda X: X[:-1],
        lambda X: X[:, :-1],
    ],
    ids=["one value", "order", "precision", "rows", "columns"],
)
def test_another_x_is_refused(change, tmp_path):
    X, y = table()
    SMOTE(random_state=0).plan(X, y).save(tmp_path / "plan")
    with pytest.raises(PlanError, match="was made from another X"):
        Plan.load(tmp_path / "plan", change(X))


def test_files_that_are_no_plans(tmp_path):
    X, _ = table()
    (tmp_path / "text").write_text("not a plan")
    np.savez(tmp_path / "other.npz", a=X)
    np.save(tmp_path / "array.npy", X)
    (tmp_path / "empty").touch()
    for name in ("text", "other.npz", "array.npy", "empty"):
        with pytest.raises(PlanError, match="is not a plan"):
            Plan.load(tmp_path / name, X)
    with pytest.raises(FileNotFoundError):
        Plan.load(tmp_path / "none", X)


def test_a_failed_save_leaves_nothing_and_the_old_file(tmp_path, monkeypatch):
    X, y = table()
    plan = SMOTE(random_state=0).plan(X, y)
    plan.save(tmp_path / "plan")
    before = (tmp_path / "plan").read_bytes()

    class Full(io.FileIO):
        def write(self, data):
            raise OSError("No space left on device")

    monkeypatch.setattr(atomic_write, "open", lambda name, mode, buffering: Full(name, mode), raising=False)
    with pytest.raises(FileError, match="No space left"):
        plan.save(tmp_path / "plan")
    assert (tmp_path / "plan").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "plan"]


def interrupted_save(plan, path, number):
    """Save, but for Ctrl-C at one of the lines that are run; whether there were so few that it did not come."""
    seen = 0

    def at_line(frame, event, _):
        nonlocal seen
        seen += event == "line"
        if event == "line" and seen == number:
            raise KeyboardInterrupt
        return at_line

    def at_call(frame, event, _):  # contextlib and atomic_write.py: what removes the file is not stopped itself
        return None if frame.f_code.co_filename in (contextlib.__file__, atomic_write.__file__) else at_line

    before = sys.gettrace()
    sys.settrace(at_call)
    try:
        plan.save(path)
    except KeyboardInterrupt:
        return False
    finally:
        sys.settrace(before)
    return True


def test_ctrl_c_at_any_moment_of_a_save_stays_ctrl_c(tmp_path):
    plan = SMOTE(random_state=0).plan(*table())
    plan.save(tmp_path / "plan")
    content = (tmp_path / "plan").read_bytes()
    (tmp_path / "plan").unlink()
    number = 1
    while not interrupted_save(plan, tmp_path / "plan", number):
        for path in tmp_path.iterdir():  # it came after the file was whole
            assert path == tmp_path / "plan"
            assert path.read_bytes() == content
            path.unlink()
        number += 1
    assert number > 100


@pytest.mark.parametrize(
    "labels",
    [["a", "a\0"], [1, 2**60], [False, True], np.array(["no", "yes"], np.dtypes.StringDType()), [1.0, 2.0]],
    ids=["zero bytes", "ints", "bools", "StringDType", "floats"],
)
def test_labels_of_every_kind_survive_replay(labels, tmp_path):
    X, codes = table()
    labels = labels if isinstance(labels, np.ndarray) else np.array(labels, dtype=object)
    y = labels[(codes == 1).astype(int)]
    plan = SMOTE(random_state=0).plan(X, y)
    plan.save(tmp_path / "plan")
    again = Plan.load(tmp_path / "plan", X)
    assert again.counts == plan.counts
    assert again.labels().tolist() == plan.labels().tolist()
    assert np.array_equal(again.rows(), plan.rows())


def test_labels_that_only_a_pickle_could_hold_are_refused(tmp_path):
    class Odd(str):
        pass

    X, codes = table()
    y = np.array([Odd(code) for code in codes], dtype=object)
    with pytest.raises(PlanError, match="Labels of type Odd cannot be written"):
        SMOTE().plan(X, y).save(tmp_path / "plan")
    assert not list(tmp_path.iterdir())


def test_the_callers_labels_may_be_handed_over_again(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    X, codes = table()
    y = pandas.Series(np.array(["no", "some", "yes"])[codes], name="label", dtype="category")
    plan = SMOTE(random_state=0).plan(X, y)
    plan.save(tmp_path / "plan")
    again = Plan.load(tmp_path / "plan", X, y)
    pandas.testing.assert_series_equal(again.resample()[1], plan.resample()[1])
    with pytest.raises(PlanError, match="was made from another y"):
        Plan.load(tmp_path / "plan", X, y[::-1])


def sealed(content):
    """The bytes of a file whose digest is right, whatever it holds."""
    return content + hashlib.blake2b(content, digest_size=32).digest()


@pytest.mark.parametrize("name", ["adasyn", "borderline-2", "mt19937"])
def test_a_file_with_any_bit_flipped_is_no_plan(name, tmp_path):
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.repeat([0, 1], [28, 12])
    SAMPLERS[name].plan(X, y).save(tmp_path / "plan")
    content = (tmp_path / "plan").read_bytes()
    assert content == sealed(content[:-32])
    # Each bit of the head, which says what the file is; of what only the digest guards, one bit of each byte.
    for bit in (*range(8 * 64), *(8 * byte + byte % 8 for byte in range(64, len(content)))):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "other").write_bytes(damaged)
        with pytest.raises(PlanError, match=r"is not a plan, or it is damaged|is a plan of format"):
            Plan.load(tmp_path / "other", X)
    for length in range(len(content)):
        (tmp_path / "other").write_bytes(content[:length])
        with pytest.raises(PlanError, match=r"is not a plan, or it is damaged|is a plan of format"):
            Plan.load(tmp_path / "other", X)
    for more in (b"\0", b"\n", content):
        (tmp_path / "other").write_bytes(content + more)
        with pytest.raises(PlanError, match=r"is not a plan, or it is damaged|is a plan of format"):
            Plan.load(tmp_path / "other", X)


def changed(header, number, **fields):
    part = {**header["parts"][number], **fields}
    return {**header, "parts": [part if i == number else other for i, other in enumerate(header["parts"])]}


@pytest.mark.parametrize(
    "change",
    [
        lambda header: [],
        lambda header: None,
        lambda header: {},
        lambda header: {**header, "shape": [230]},
        lambda header: {**header, "shape": [-230, 4]},
        lambda header: {**header, "shape": [230.0, 4]},
        lambda header: {**header, "shape": [True, 4]},
        lambda header: {**header, "fingerprint": None},
        lambda header: {**header, "codes": "|O8"},
        lambda header: {**header, "codes": "<f8"},
        lambda header: {**header, "codes": 8},
        lambda header: {**header, "codes": "<i8"},
        lambda header: {**header, "classes": None},
        lambda header: {**header, "classes": [[0], [1], [2]]},
        lambda header: {**header, "classes": [2, 1, 0]},
        lambda header: {**header, "classes": {"dtype": "|O8", "size": 3}},
        lambda header: {**header, "classes": {"dtype": "|V8", "size": 3}},
        lambda header: {**header, "classes": {"dtype": "<i3", "size": 3}},
        lambda header: {**header, "classes": {"dtype": "<i8", "size": -1}},
        lambda header: {**header, "classes": {"dtype": "<i8", "size": 2}},
        lambda header: {**header, "parts": None},
        lambda header: {**header, "parts": [None]},
        lambda header: {**header, "parts": header["parts"][::-1]},
        lambda header: {**header, "parts": [*header["parts"], header["parts"][0]]},
        lambda header: changed(header, 0, position=3),
        lambda header: changed(header, 0, generator="other"),
        lambda header: changed(header, 0, generator=None),
        lambda header: changed(header, 0, generator=["segment"]),
        lambda header: changed(header, 0, n_points=-1),
        lambda header: changed(header, 0, n_points=2),
        lambda header: changed(header, 0, dtypes={**header["parts"][0]["dtypes"], "points": "<f8"}),
        lambda header: {**header, "work_dtype": "|O"},
        lambda header: changed(header, 1, position=3),
        lambda header: changed(header, 1, position=-1),
        lambda header: changed(header, 1, position=1.0),
        lambda header: changed(header, 0, n_new=0),
        lambda header: changed(header, 0, n_new=-5),
        lambda header: changed(header, 0, n_new=2**63),
        lambda header: changed(changed(header, 0, n_new=2**63 - 1), 1, n_new=2**63 - 1),
        lambda header: changed(header, 0, k="5"),
        lambda header: changed(header, 0, k=0),
        lambda header: changed(header, 0, n_seeds=0),
        lambda header: changed(header, 0, n_values=float("nan")),
        lambda header: changed(header, 0, dtypes={}),
        lambda header: changed(header, 0, dtypes={**header["parts"][0]["dtypes"], "low": "<f8"}),
        lambda header: changed(header, 0, dtypes={**header["parts"][0]["dtypes"], "gaps": "<f8"}),
        lambda header: changed(header, 0, dtypes={**header["parts"][0]["dtypes"], "other": "<f8"}),
        lambda header: changed(header, 0, dtypes={**header["parts"][0]["dtypes"], "key": "<u4"}),
        lambda header: changed(header, 0, dtypes={**header["parts"][0]["dtypes"], "rows": "<f8"}),
        lambda header: changed(header, 0, dtypes={**header["parts"][0]["dtypes"], "seeds": "<u8"}),
    ],
)
def test_a_header_that_says_something_else_is_refused(change, tmp_path):
    X, y = table()
    SMOTE(random_state=3).plan(X, y).save(tmp_path / "plan")
    first, text, rest = (tmp_path / "plan").read_bytes()[:-32].split(b"\n", 2)
    header = json.loads(text)
    (tmp_path / "plan").write_bytes(sealed(b"\n".join([first, json.dumps(header).encode(), rest])))
    assert len(Plan.load(tmp_path / "plan", X)) == 220
    (tmp_path / "plan").write_bytes(sealed(b"\n".join([first, json.dumps(change(header)).encode(), rest])))
    with pytest.raises(PlanError, match="damaged"):
        Plan.load(tmp_path / "plan", X)


def test_classes_with_characters_that_do_not_exist_are_refused(tmp_path):
    X, y = table()
    SMOTE(random_state=3).plan(X, y + 2**60).save(tmp_path / "plan")
    content = (tmp_path / "plan").read_bytes()[:-32]
    assert content.count(b'{"dtype": "<i8"') == 1
    (tmp_path / "plan").write_bytes(sealed(content.replace(b'{"dtype": "<i8"', b'{"dtype": "<U2"')))
    with pytest.raises(PlanError, match="damaged: its classes are not text"):
        Plan.load(tmp_path / "plan", X)


@pytest.mark.parametrize("text", [b"", b"no JSON", b"\xff", b"[" * 100_000, b'{"shape": 1e999}', b"9" * 5000])
def test_a_header_that_is_none_is_refused(text, tmp_path):
    (tmp_path / "plan").write_bytes(sealed(b"gpusmote plan, format 3\n" + text + b"\n"))
    with pytest.raises(PlanError, match="damaged"):
        Plan.load(tmp_path / "plan", table()[0])


def test_a_plan_of_another_format_is_refused(tmp_path):
    for number in (1, 2, 4, 99):
        (tmp_path / "plan").write_bytes(b"gpusmote plan, format %d\n" % number)
        with pytest.raises(PlanError, match=f"a plan of format {number}; this gpusmote reads format 3"):
            Plan.load(tmp_path / "plan", table()[0])


def first_to(value):
    return lambda array: np.concatenate([[value], array.ravel()[1:]]).astype(array.dtype).reshape(array.shape)


@pytest.mark.parametrize(
    ("name", "field", "change"),
    [
        ("smote", "rows", first_to(-1)),
        ("smote", "rows", first_to(230)),
        ("smote", "rows", first_to(2**62)),
        ("smote", "seeds", first_to(-1)),
        ("smote", "seeds", first_to(80)),
        ("smote", "neighbors", first_to(-1)),
        ("smote", "neighbors", first_to(2**40)),
        ("adasyn", "ends", first_to(-1)),
        ("adasyn", "ends", first_to(10**6)),
        ("adasyn", "ends", lambda ends: ends[::-1]),
        ("adasyn", "ends", lambda ends: ends - 1),
        ("adasyn", "ends", np.zeros_like),
        ("borderline-2", "low", first_to(np.nan)),
        ("borderline-2", "low", first_to(-np.inf)),
        ("borderline-2", "width", first_to(np.inf)),
        ("borderline-2", "width", first_to(np.nan)),
        ("mt19937", "picks", first_to(-1)),
        ("mt19937", "picks", first_to(10**6)),
        ("adasyn mt19937", "picks", first_to(5)),
        ("mt19937", "gaps", first_to(1e9)),
        ("mt19937", "gaps", first_to(np.nan)),
        ("mt19937", "gaps", first_to(-1e-9)),
    ],
)
def test_numbers_out_of_their_range_are_refused(name, field, change, tmp_path):
    X, y = table()
    plan = SAMPLERS[name].plan(X, y)
    part = plan._parts[-1]
    plan._parts[-1] = dataclasses.replace(part, **{field: change(getattr(part, field))})
    plan.save(tmp_path / "plan")
    with pytest.raises(PlanError, match=f"damaged: .*{field}"):
        Plan.load(tmp_path / "plan", X)


@pytest.mark.parametrize("field", ["n_values", "n_seeds", "n_new", "k"])
def test_what_a_header_declares_is_held_to_the_limit_before_it_is_allocated(field, tmp_path):
    X, y = table()
    SAMPLERS["mt19937"].plan(X, y).save(tmp_path / "plan")
    first, text, rest = (tmp_path / "plan").read_bytes()[:-32].split(b"\n", 2)
    header = changed(json.loads(text), 0, **{field: 10**8})
    (tmp_path / "plan").write_bytes(sealed(b"\n".join([first, json.dumps(header).encode(), rest])))
    tracemalloc.start()
    with config_context(memory_limit="50MB"), pytest.raises(MemoryLimitError, match="is the least that works"):
        Plan.load(tmp_path / "plan", X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
    header = changed(json.loads(text), 0, **{field: 1000})  # within the limit, but not in the file
    (tmp_path / "plan").write_bytes(sealed(b"\n".join([first, json.dumps(header).encode(), rest])))
    with pytest.raises(PlanError, match="damaged"):
        Plan.load(tmp_path / "plan", X)


def test_a_plan_without_rows_survives_replay(tmp_path):
    X = table()[0][:60]
    plan = SMOTE().plan(X, np.repeat([0, 1], 30))
    plan.save(tmp_path / "plan")
    assert Plan.load(tmp_path / "plan", X).rows().shape == (0, 4)


def test_labels_that_are_classes_by_declaration_only_need_y(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    X, codes = table()
    y = pandas.Series(np.array([0.5, 1.5, 2.5])[codes], dtype="category")
    plan = SMOTE(random_state=0).plan(X, y)
    plan.save(tmp_path / "plan")
    assert np.array_equal(Plan.load(tmp_path / "plan", X, y).rows(), plan.rows())
    with pytest.raises(PlanError, match="Pass the y"):
        Plan.load(tmp_path / "plan", X)


def test_a_plan_can_be_read_by_whom_the_umask_lets(tmp_path):
    X, y = table()
    (tmp_path / "other").touch()
    SMOTE(random_state=0).plan(X, y).save(tmp_path / "plan")
    assert (tmp_path / "plan").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_arguments_that_are_no_whole_numbers():
    plan = SMOTE(random_state=0).plan(*table())
    for call in (
        lambda: plan.rows(0.5, 3),
        lambda: plan.rows(None, 3),
        lambda: plan.batches(1.5),
        lambda: plan.batches(None),
    ):
        with pytest.raises(PlanError, match="must be a whole number"):
            call()
    assert np.array_equal(plan.rows(np.int64(1), np.int32(3)), plan.rows(1, 3))
    for random_state in ("x", -1):
        with pytest.raises(ParameterError, match="random_state is"):
            plan.batches(5, random_state=random_state)


def test_a_plan_of_more_rows_than_fit_gives_slices_and_batches_but_no_whole():
    X, y = table()
    plan = SMOTE(random_state=0, sampling_strategy={1: 10**12}).plan(X, y)
    assert len(plan) == 10**12 - 30
    assert plan.rows(10**11, 10**11 + 5).shape == (5, 4)
    assert len(next(plan.batches(7, random_state=0))[0]) == 7
    with pytest.raises(
        MemoryLimitError, match=r"1,000,000,000,200 rows x 4 columns.*the result 32,000,000,006,400"
    ) as caught:
        plan.resample()
    assert "plan.batches" in caught.value.hint
