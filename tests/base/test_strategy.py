"""sampling_strategy against imbalanced-learn's, and its errors."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpusmote.base.strategy import STRINGS, rows_to_make
from gpusmote.errors import StrategyError

STEADY = settings(derandomize=True, deadline=None, max_examples=60)
COUNTS = st.lists(st.integers(1, 30), min_size=2, max_size=5)


def ours(strategy, y):
    classes, counts = np.unique(y, return_counts=True)
    make = rows_to_make(strategy, classes, counts, lambda: y)
    return {classes.tolist()[c]: n for c, n in make.items()}


def theirs(strategy, y):
    pytest.importorskip("imblearn", reason="imbalanced-learn is not installed")
    from imblearn.utils import check_sampling_strategy

    return {np.asarray(c).item(): n for c, n in check_sampling_strategy(strategy, y, "over-sampling").items()}


def labels_of(counts, names="abcde"):
    return np.repeat(np.array(list(names[: len(counts)])), counts)


@STEADY
@given(COUNTS, st.sampled_from(STRINGS))
def test_strings_as_imbalanced_learn_reads_them(counts, strategy):
    y = labels_of(counts)
    # of classes of equal size imbalanced-learn and we take the first as smallest and as largest
    assert ours(strategy, y) == theirs(strategy, y)


@STEADY
@given(COUNTS, st.lists(st.integers(0, 20), min_size=5, max_size=5), st.randoms(use_true_random=False))
def test_dicts_and_callables_as_imbalanced_learn_reads_them(counts, more, random):
    y = labels_of(counts)
    # imbalanced-learn warns beyond the majority; there is nothing wrong with asking for it (see below)
    wanted = {name: min(n + extra, max(counts)) for name, n, extra in zip("abcde", counts, more, strict=False)}
    shuffled = dict(random.sample(list(wanted.items()), len(wanted)))
    assert ours(shuffled, y) == theirs(shuffled, y)
    assert ours(lambda y: shuffled, y) == ours(shuffled, y)


@STEADY
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 100))
def test_ratios_are_those_of_the_decimal_number(minority, majority, percent):
    assume(minority < majority)
    wanted = percent * majority // 100
    assume(wanted >= minority)
    y = np.repeat([0, 1], [majority, minority])
    assert ours(percent / 100, y) == {1: wanted - minority}


def test_a_single_precision_ratio_is_read_as_it_is_written():
    assert ours(np.float32(0.9), np.repeat([0, 1], [200, 5])) == {1: 175}


def test_29_hundredths_of_100_are_29():
    assert int(0.29 * 100) == 28  # what floating point makes of it
    assert ours(0.29, np.repeat([0, 1], [100, 5])) == {1: 24}


@STEADY
@given(COUNTS, st.integers(1, 100), st.sampled_from([float, np.float32, np.float64]))
def test_a_float_up_to_1_is_a_share_of_the_largest_class(counts, percent, kind):
    y = labels_of(counts)
    wanted = percent * max(counts) // 100
    assume(wanted >= counts[1])
    assert ours({"b": kind(percent / 100)}, y) == {"b": wanted - counts[1]}


@STEADY
@given(COUNTS, st.integers(2, 90), st.sampled_from([float, np.float32, np.float64, np.int8, np.int64]))
def test_a_whole_number_of_any_type_is_a_number_of_rows(counts, wanted, kind):
    assume(wanted >= counts[0])
    assert ours({"a": kind(wanted)}, labels_of(counts)) == {"a": wanted - counts[0]}


def test_1_is_a_row_and_1_point_0_is_the_largest_class():
    y = np.repeat([0, 1], [10, 1])
    assert (ours({1: 1}, y), ours({1: 1.0}, y)) == ({1: 0}, {1: 9})


def test_a_class_may_outgrow_the_majority():
    assert ours({1: 50}, np.repeat([0, 1], [10, 5])) == {1: 45}


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"], [False, True], [0.0, 1.0]], ids=str)
def test_labels_of_any_kind(labels):
    assert ours({labels[1]: 9}, np.repeat(np.array(labels), [9, 4])) == {labels[1]: 5}


@pytest.mark.parametrize("unit", ["D", "s", "ns"])
def test_dates_can_be_named(unit):
    y = np.repeat(np.array(["2021-01-01", "2022-01-01"], f"M8[{unit}]"), [9, 4])
    for key in (np.datetime64("2022-01-01"), y[-1], datetime.datetime(2022, 1, 1)):
        assert list(ours({key: 9}, y).values()) == [5]
    with pytest.raises(StrategyError, match="which y does not contain"):
        ours({np.datetime64("2023-01-01"): 9}, y)
    with pytest.raises(StrategyError, match="which y does not contain"):
        ours({"soon": 9}, y)


@pytest.mark.parametrize(
    ("strategy", "counts", "message"),
    [
        ("most", [5, 3], "sampling_strategy is 'most'"),
        (0.5, [5, 3, 2], "a float, 0.5, but y has 3 classes"),
        (1.5, [5, 3], "A ratio must be in (0, 1]"),
        (0.2, [10, 5], "asks for 2 minority rows, and there are 5 already"),
        ({"z": 5}, [5, 3], "names 'z', which y does not contain. The classes of y are 'a', 'b'"),
        ({"b": 2}, [5, 3], "asks for 2 rows of class 'b', which has 3"),
        ({"b": 4.5}, [5, 3], "asks for 4.5 rows of class 'b'"),
        ({"b": np.inf}, [5, 3], "asks for inf rows of class 'b'"),
        ({"b": -0.5}, [5, 3], "asks for -0.5 rows of class 'b'"),
        ({"b": "4"}, [5, 3], "asks for '4' rows of class 'b'"),
        ({"b": 0.4}, [5, 3], "asks for 2 rows (0.4 of the 5 of the largest class) of class 'b', which has 3"),
        ({"b": True}, [5, 3], "asks for True rows of class 'b'"),
        (lambda y: 3, [5, 3], "callable returned int"),
        (["a"], [5, 3], "of type list"),
        (True, [5, 3], "of type bool"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_say_what_is_wrong(strategy, counts, message):
    with pytest.raises(StrategyError) as caught:
        ours(strategy, labels_of(counts))
    assert message in str(caught.value)
    assert caught.value.hint
    assert isinstance(caught.value, ValueError)
