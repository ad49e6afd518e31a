"""The random stream: Random123's known answers, NumPy's generator, any slice, any order, uniformity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gpusmote import random_stream

STEADY = settings(derandomize=True, deadline=None, max_examples=60)
KEYS = st.integers(0, 2**64 - 1).map(lambda seed: random_stream.class_key((seed,), 0))

# Random123, tests/kat_vectors, philox4x64 with 10 rounds (Salmon, Moraes, Dror & Shaw 2011): counter, key, answer.
KNOWN = [
    ([0] * 4, [0] * 2, ["16554d9eca36314c", "db20fe9d672d0fdc", "d7e772cee186176b", "7e68b68aec7ba23b"]),
    (
        [2**64 - 1] * 4,
        [2**64 - 1] * 2,
        ["87b092c3013fe90b", "438c3c67be8d0224", "9cc7d7c69cd777b6", "a09caebf594f0ba0"],
    ),
    (
        [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
        [0x452821E638D01377, 0xBE5466CF34E90C6C],
        ["a528f45403e61d95", "38c72dbd566e9788", "a5a1610e72fd18b5", "57bd43b5e52b7fe6"],
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN, ids=["zeros", "ones", "pi"])
def test_known_answers_of_random123(counter, key, answer):
    block = random_stream.philox_block(np.array(key, np.uint64), np.array([counter], np.uint64))
    assert [f"{word:016x}" for word in block[0].tolist()] == answer


@STEADY
@given(KEYS, st.integers(0, 2**61), st.integers(0, 40), st.integers(0, 5))
def test_words_are_numpys_own(key, start, count, stream):
    generator = np.random.Philox(key=key, counter=(start >> 2) + (stream << 64))
    expected = generator.random_raw((start & 3) + count)[start & 3 :]
    assert random_stream.words(key, start, count, stream).tolist() == list(expected)


@STEADY
@given(KEYS, st.integers(0, 2**59), st.integers(1, 30), st.integers(1, 2**62))
def test_draw_is_the_formula_of_the_docstring(key, start, count, n):
    pick, gap = random_stream.draw(key, start, start + count, n)
    raw = [int(word) for word in random_stream.words(key, 2 * start, 2 * count)]
    assert pick.tolist() == [word * n >> 64 for word in raw[0::2]]
    assert gap.tolist() == [(word >> 11) * 2.0**-53 for word in raw[1::2]]


@STEADY
@given(KEYS, st.lists(st.integers(0, 2**61), min_size=1, max_size=20), st.integers(1, 2**40))
def test_scattered_samples_are_the_same_as_slices(key, samples, n):
    pick, gap = random_stream.draw_at(key, np.array(samples), n)
    for i, s in enumerate(samples):
        one_pick, one_gap = random_stream.draw(key, s, s + 1, n)
        assert (pick[i], gap[i]) == (one_pick[0], one_gap[0])


def test_picks_and_gaps_are_uniform():
    pick, gap = random_stream.draw(random_stream.class_key((20261124,), 3), 0, 200_000, 97)
    assert stats.kstest(gap, "uniform").pvalue > 1e-3
    assert stats.chisquare(np.bincount(pick, minlength=97)).pvalue > 1e-3
    assert abs(np.corrcoef(pick, gap)[0, 1]) < 0.01


def test_classes_and_streams_do_not_repeat_each_other():
    keys = [tuple(random_stream.class_key((5,), position)) for position in range(100)]
    assert len(set(keys)) == 100
    key = random_stream.class_key((5,), 0)
    assert not set(random_stream.words(key, 0, 1000)) & set(random_stream.words(key, 0, 1000, stream=1))


@STEADY
@given(KEYS, st.integers(1, 3000))
def test_permute_is_a_permutation(key, n):
    assert sorted(random_stream.permute(key, np.arange(n), n).tolist()) == list(range(n))


@STEADY
@given(KEYS, st.integers(10, 2**50), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=10))
def test_permute_answers_each_position_by_itself(key, n, shares):
    positions = np.array([int(share * n) for share in shares])
    together = random_stream.permute(key, positions, n)
    assert all(0 <= where < n for where in together.tolist())
    assert together.tolist() == [
        int(random_stream.permute(key, positions[i : i + 1], n)[0]) for i in range(len(positions))
    ]


def test_permute_spreads_evenly():
    """Where each of the first ten positions lands, over many keys, is uniform over tenths of the range."""
    n = 1000
    landed = np.concatenate(
        [random_stream.permute(random_stream.class_key((seed,), 0), np.arange(10), n) for seed in range(500)]
    )
    assert stats.chisquare(np.bincount(landed * 10 // n, minlength=10)).pvalue > 1e-3


@pytest.mark.parametrize(
    "make",
    [lambda: 12, lambda: np.int64(12), lambda: np.random.RandomState(12), lambda: np.random.default_rng(12)],
    ids=["int", "numpy int", "RandomState", "Generator"],
)
def test_entropy_repeats(make):
    assert random_stream.entropy_words(make()) == random_stream.entropy_words(make())


def test_entropy_of_none_is_the_systems_and_leaves_numpys_global_state_alone():
    before = np.random.get_state()[1].tolist()
    assert random_stream.entropy_words(None) != random_stream.entropy_words(None)
    assert np.random.get_state()[1].tolist() == before


def test_a_generator_is_advanced_once():
    generator = np.random.default_rng(0)
    assert random_stream.entropy_words(generator) != random_stream.entropy_words(generator)
