"""The template: what all samplers share."""

from __future__ import annotations

import inspect
import logging
import multiprocessing
import pickle
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

import gpusmote
from gpusmote import ADASYN, SMOTE, BorderlineSMOTE
from gpusmote.base.sampler import BaseSampler
from gpusmote.errors import GpusmoteError, InputError, MemoryLimitError, ParameterError, TooFewRowsError

STEADY = settings(derandomize=True, deadline=None, max_examples=40)
EACH = pytest.mark.parametrize(
    "sampler", [kind(random_state=0) for kind in (SMOTE, BorderlineSMOTE, ADASYN)], ids=["SMOTE", "B", "ADASYN"]
)


def name_of_k(sampler):
    return "n_neighbors" if hasattr(sampler, "n_neighbors") else "k_neighbors"


@EACH
def test_get_params_clone_pickle_repr(sampler, overlapping):
    name = name_of_k(sampler)
    again = pickle.loads(pickle.dumps(clone(sampler).set_params(**{name: 4})))
    assert again.get_params() == {**sampler.get_params(), name: 4}
    assert f"{name}=4" in repr(again)
    assert name in again._repr_html_()
    fitted = pickle.loads(pickle.dumps(clone(sampler).fit(*overlapping)))
    assert fitted.sampling_strategy_ == {1: 340}
    assert np.array_equal(fitted.fit_resample(*overlapping)[0], sampler.fit_resample(*overlapping)[0])


@given(st.lists(st.tuples(st.integers(7, 25), st.integers(0, 40)), min_size=2, max_size=5), st.integers(0, 2**32))
@STEADY
def test_each_class_ends_with_exactly_what_was_asked_for(sizes, seed):
    counts, more = np.array(sizes).T
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    X = rng.normal(size=(len(y), 3))
    wanted = {c: int(n) for c, n in enumerate(counts + more)}
    X_res, y_res = SMOTE(random_state=seed, sampling_strategy=wanted).fit_resample(X, y)
    assert np.bincount(y_res).tolist() == list(wanted.values())
    assert X_res[: len(X)].tobytes() == X.tobytes()
    assert np.array_equal(y_res[: len(y)], y)
    assert (np.diff(y_res[len(y) :]) >= 0).all()


@EACH
def test_the_callers_arrays_are_not_written_to(sampler, overlapping):
    X, y = (array.copy() for array in overlapping)
    X.flags.writeable = y.flags.writeable = False
    sampler.fit_resample(X, y)
    with pytest.raises(GpusmoteError):
        clone(sampler).set_params(**{name_of_k(sampler): 400}).fit_resample(X, y)
    assert X.tobytes() == overlapping[0].tobytes()


@EACH
def test_random_states(sampler, overlapping):
    def rows(random_state):
        return clone(sampler).set_params(random_state=random_state).fit_resample(*overlapping)[0]

    before = np.random.get_state()[1].copy()
    for make in (lambda: 5, lambda: np.random.RandomState(5), lambda: np.random.default_rng(5)):
        assert np.array_equal(rows(make()), rows(make()))
    assert not np.array_equal(rows(5), rows(6))
    assert not np.array_equal(rows(None), rows(None))
    generator = np.random.default_rng(5)
    assert not np.array_equal(rows(generator), rows(generator))
    assert np.array_equal(np.random.get_state()[1], before)


def test_mt19937_with_none_reads_numpys_global_generator(overlapping):
    sampler = SMOTE(bit_generator="mt19937")
    state = np.random.get_state()
    try:
        np.random.seed(3)
        first = sampler.fit_resample(*overlapping)[0]
        np.random.seed(3)
        assert np.array_equal(sampler.fit_resample(*overlapping)[0], first)
    finally:
        np.random.set_state(state)
    with pytest.raises(ParameterError, match="random_state is a Generator"):
        SMOTE(bit_generator="mt19937", random_state=np.random.default_rng(0)).fit_resample(*overlapping)


@EACH
def test_eight_threads_give_the_rows_of_one(sampler, overlapping):
    expected = sampler.fit_resample(*overlapping)[0]
    got = [None] * 8

    def work(i):
        got[i] = sampler.fit_resample(*overlapping)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(rows, expected) for rows in got)


def _in_child(queue, sampler, X, y):
    queue.put(sampler.fit_resample(X, y)[0])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("size", [600, 6_000])
def test_a_child_forked_after_a_first_call_works(size):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2 * size, 20)), np.repeat([0, 1], [size + size // 2, size - size // 2])
    sampler = SMOTE(random_state=0)
    expected = sampler.fit_resample(X, y)[0]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue, sampler, X, y))
    child.start()
    assert np.array_equal(queue.get(timeout=60), expected)
    child.join(timeout=10)
    assert child.exitcode == 0


def test_fitted_attributes(overlapping, caplog):
    X, y = overlapping
    with caplog.at_level(logging.INFO, logger="gpusmote"):
        sampler = SMOTE(random_state=0, device="cpu")
        sampler.fit_resample(X, y)
    assert [record.message for record in caplog.records] == [f"SMOTE runs on cpu: {sampler.report_.reason}"]
    assert sampler.sampling_strategy_ == {1: 340}
    assert sampler.n_features_in_ == 5
    assert not hasattr(sampler, "feature_names_in_")
    assert sampler.device_ == "cpu"
    report = sampler.report_
    assert report.search.queries == 60
    certified = report.search.certified_first + report.search.certified_second + report.search.certified_last
    assert certified == 60
    assert set(report.seconds) == {"check", "search", "rows", "labels"}
    assert all(seconds >= 0 for seconds in report.seconds.values())
    assert report.bytes["output"] == 800 * (5 * 8 + 48)  # rows and labels
    assert report.bytes["plan"] > 60 * 5 * 8
    assert report.versions["gpusmote"] == gpusmote.__version__
    assert report.versions["numpy"] == np.__version__


def test_one_class_is_refused(overlapping):
    with pytest.raises(InputError, match="y has one class only, 7"):
        SMOTE().fit_resample(overlapping[0], np.full(460, 7))


def test_nothing_to_make(overlapping):
    X, y = overlapping
    X_res, y_res = SMOTE(sampling_strategy={1: 60}).fit_resample(X, y)
    assert X_res.tobytes() == X.tobytes()
    assert X_res is not X
    assert np.array_equal(y_res, y)


def test_a_result_beyond_memory_is_refused_before_anything_is_allocated(overlapping):
    wanted = r"1,000,000,000,000,400 rows x 5 columns\. Making it needs .*; [\d,]+ bytes are free on the host"
    with pytest.raises(MemoryLimitError, match=wanted) as caught:
        SMOTE(sampling_strategy={1: 10**15}).fit_resample(*overlapping)
    assert "batches" in caught.value.hint
    assert isinstance(caught.value, (MemoryError, RuntimeError))


def test_a_search_beyond_memory_is_refused(overlapping, monkeypatch):
    monkeypatch.setattr("gpusmote.backends.memory.available", lambda: 100 << 10)
    with pytest.raises(MemoryLimitError, match=r"The work on 460 rows x 5 columns needs at least [\d,]+ bytes"):
        SMOTE().fit_resample(*overlapping)
    monkeypatch.setattr("gpusmote.backends.memory.available", lambda: None)
    assert len(SMOTE().fit_resample(*overlapping)[0]) == 800


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"k_neighbors": 0}, "The 'k_neighbors' parameter of BorderlineSMOTE must be"),
        ({"k_neighbors": 2.5}, "The 'k_neighbors' parameter of BorderlineSMOTE must be"),
        ({"k_neighbors": True}, "The 'k_neighbors' parameter of BorderlineSMOTE must be"),
        ({"m_neighbors": -1}, "The 'm_neighbors' parameter of BorderlineSMOTE must be"),
        ({"m_neighbors": True}, "The 'm_neighbors' parameter of BorderlineSMOTE must be"),
        ({"recall_target": True}, "The 'recall_target' parameter of BorderlineSMOTE must be"),
        ({"kind": "borderline-3"}, "The 'kind' parameter of BorderlineSMOTE must be a str among"),
        ({"random_state": "x"}, "The 'random_state' parameter of BorderlineSMOTE must be"),
        ({"sampling_strategy": "x"}, "The 'sampling_strategy' parameter of BorderlineSMOTE must be"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"bit_generator": "pcg64"}, "The 'bit_generator' parameter of BorderlineSMOTE must be"),
    ],
    ids=str,
)
def test_parameters_are_checked_when_used(parameters, message, overlapping):
    with pytest.raises(ParameterError, match=message):
        BorderlineSMOTE(**parameters).fit_resample(*overlapping)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pytest.param(estimator, check, id=f"{type(estimator).__name__}-{check.func.__name__}")
        for sampler in (SMOTE(), BorderlineSMOTE(), ADASYN())
        for estimator, check in estimator_checks_generator(sampler, mark=None)
    ],
)
def test_scikit_learns_estimator_checks(estimator, check):
    check(estimator)


def test_a_column_whose_range_overflows_is_named(overlapping):
    X, y = overlapping[0].copy(), overlapping[1]
    X[:, 3] = np.where(X[:, 3] > 0, 1.7e308, -1.7e308)
    with pytest.raises(InputError, match="A column of Class 1 has a range of more than"):
        SMOTE(random_state=0).fit_resample(X, y)
    X[:, 3] /= 4
    assert np.isfinite(SMOTE(random_state=0).fit_resample(X, y)[0]).all()


class Between(SMOTE):
    """One of which another is made, whose own parameter may be given by position."""

    def __init__(self, share=0.5, **common):
        super().__init__(**common)
        self.share = share


class Last(Between):
    def __init__(self, *, k_neighbors=3, **common):
        super().__init__(k_neighbors=k_neighbors, **common)


def test_what_is_passed_on_is_in_the_signature_and_so_a_parameter():
    common = dict(inspect.signature(BaseSampler).parameters)
    for kind, own in [
        (SMOTE, {"k_neighbors": 5}),
        (BorderlineSMOTE, {"k_neighbors": 5, "m_neighbors": 10, "kind": "borderline-1", "no_seeds": "smote"}),
        (ADASYN, {"n_neighbors": 5, "no_seeds": "smote"}),
        (Between, {"share": 0.5, "k_neighbors": 5}),
        (Last, {"k_neighbors": 3, "share": 0.5}),
    ]:
        found = {name: p.default for name, p in inspect.signature(kind).parameters.items()}
        assert found == {**own, **{name: p.default for name, p in common.items()}}
        assert kind().get_params() == found
        changed = kind(search="approximate", **({"kind": "borderline-2"} if "kind" in own else {}))
        changed.set_params(**{name_of_k(changed): 2})
        assert clone(changed).get_params() == changed.get_params() != found
    assert Between(0.25).share == Last(share=0.25).share == 0.25


class Noted:
    """Of no sampler, and made for any class that has parameters."""

    def __init__(self, *, note="none", **others):
        super().__init__(**others)
        self.note = note


class NotedSMOTE(Noted, SMOTE):
    pass


class NotedBetween(Noted, Between):
    pass


class BetweenBorders(Between, BorderlineSMOTE):
    """What is next to Between is not what was next when Between was made."""


class NotedBelow(BetweenBorders, Noted):
    """No sampler hands anything on beyond what all samplers share."""


def test_bases_side_by_side_share_their_parameters(overlapping):
    for kind, own in [
        (NotedSMOTE, {"note", "k_neighbors"}),
        (NotedBetween, {"note", "share", "k_neighbors"}),
        (BetweenBorders, {"share", "k_neighbors", "m_neighbors", "kind", "no_seeds"}),
        (NotedBelow, {"share", "k_neighbors", "m_neighbors", "kind", "no_seeds"}),
    ]:
        assert set(kind().get_params()) == own | set(inspect.signature(BaseSampler).parameters)
        changed = kind(k_neighbors=2, **dict.fromkeys(own & {"share", "note"}, 0.25))
        assert clone(changed).get_params() == changed.get_params() != kind().get_params()
        changed.set_params(random_state=0).fit(*overlapping)
    assert BetweenBorders(0.25).share == 0.25  # by position, as Between takes it


def test_bases_are_left_as_they_are():
    assert str(inspect.signature(Noted)) == "(*, note='none', **others)"
    assert "m_neighbors" not in Between().get_params()


def test_an_unknown_parameter_is_an_error_that_names_the_class_that_was_called():
    for kind in (SMOTE, BorderlineSMOTE, Last, NotedSMOTE):
        said = rf"^{kind.__name__}\.__init__\(\) got an unexpected keyword argument"
        for error in (TypeError, ParameterError):
            with pytest.raises(error, match=rf"{said} 'k_neigbors'\. Did you mean k_neighbors\?$"):
                kind(k_neigbors=3)
            with pytest.raises(error, match=rf"{said} 'n_jobs'\. Its parameters are .*memory_limit\.$"):
                kind(n_jobs=2)
    with pytest.raises(TypeError, match=r"^SMOTE\.__init__\(\) takes 1 positional argument"):
        SMOTE("auto")


def stop(*given, **named):
    raise AssertionError("work was begun")


@pytest.mark.parametrize(
    "sampler", [SMOTE(), BorderlineSMOTE(), ADASYN(), SMOTE(shrink_k=True), SMOTE(k_neighbors=np.int64(1))], ids=str
)
@pytest.mark.parametrize(
    "labels", [np.asarray, np.ndarray.tolist, lambda y: y.astype(str)], ids=["array", "list", "str"]
)
def test_classes_too_small_are_refused_before_any_work(sampler, labels, monkeypatch):
    monkeypatch.setattr("gpusmote.base.execution.arrange", stop)
    monkeypatch.setattr("gpusmote.base.execution.select", stop)
    y = np.concatenate([np.arange(1000), np.zeros(20, np.int64)])
    for call in (sampler.fit_resample, sampler.plan):
        with pytest.raises(TooFewRowsError, match=r"^Class '?1'? has 1 row, too few for"):
            call(np.zeros((1020, 1)), labels(y))


@EACH
@pytest.mark.filterwarnings("ignore:.*finds no seed")
def test_many_classes_get_the_rows_of_few(sampler, monkeypatch):
    X, y = np.random.default_rng(0).normal(size=(400, 3)), np.repeat(np.arange(40), 10)[::-1].copy()
    y[:30] = 7
    sampler = clone(sampler).set_params(sampling_strategy=dict.fromkeys(range(37), 50))
    expected = sampler.fit_resample(X, y)
    monkeypatch.setattr("gpusmote.containers.target._FEW_CLASSES", 0)
    found = sampler.fit_resample(X, y)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


SMALL_AND_LARGE = {
    "subnormal": lambda X: X * 1e-310,
    "subnormal float32": lambda X: (X * 1e-40).astype(np.float32),
    "subnormal float16": lambda X: (X * 1e-7).astype(np.float16),
    "one large value": lambda X: np.where(np.arange(X.size).reshape(X.shape) == 7, 1e300, X),
    "columns far apart": lambda X: X * np.array([1e-310, 1.0, 1e200]),
}


@pytest.mark.filterwarnings("ignore:.*finds no seed")
@pytest.mark.parametrize("build", SMALL_AND_LARGE)
@pytest.mark.parametrize(
    "call",
    [
        lambda X, y: SMOTE(random_state=0).fit_resample(X, y)[0],
        lambda X, y: BorderlineSMOTE(random_state=0).fit_resample(X, y)[0],
        lambda X, y: ADASYN(random_state=0).fit_resample(X, y)[0],
        lambda X, y: SMOTE(random_state=0).plan(X, y).rows(3, 7),
        lambda X, y: np.concatenate([rows for rows, _ in SMOTE(random_state=0).plan(X, y).batches(9, random_state=0)]),
        lambda X, y: gpusmote.r.SMOTE(X, y, random_state=0).syn_data,
        lambda X, y: gpusmote.r.ADAS(X, y, random_state=0).syn_data,
    ],
    ids=["SMOTE", "BorderlineSMOTE", "ADASYN", "rows", "batches", "r.SMOTE", "r.ADAS"],
)
def test_the_callers_floating_point_settings_change_nothing(call, build):
    X, y = SMALL_AND_LARGE[build](np.random.default_rng(0).normal(size=(60, 3))), np.repeat([0, 1], [40, 20])
    expected = call(X, y)
    with np.errstate(all="raise"):
        found = call(X, y)
        assert set(np.geterr().values()) == {"raise"}
    assert np.array_equal(found, expected)
