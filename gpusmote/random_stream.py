"""The random stream: the random numbers of each synthetic row.

The generator is Philox4x64-10 (Salmon, Moraes, Dror & Shaw 2011, doi:10.1145/2063384.2063405) as in NumPy. It is
counter-based, so the numbers of any slice of the synthetic rows can be drawn without the others, on any device.

Each class has a key of two 64-bit words (:func:`class_key`). Sample ``s`` of the class uses the raw words ``2 s`` and
``2 s + 1`` of stream 0::

    pick(s) = floor(word[2 s] * n / 2**64)           index of one of n (seed, neighbor) pairs, or of k neighbors
    gap(s)  = floor(word[2 s + 1] / 2**11) * 2**-53   in [0, 1)

Stream ``t`` is the same generator, ``t * 2**64`` blocks further on; samplers that need more numbers take them from
another stream. Word ``4 b + i`` of a stream is word ``i`` of the block with counter ``b + 1 + t * 2**64``, because
NumPy increments the counter before it generates a block.
"""

from __future__ import annotations

import numbers
import secrets

import numpy as np

from gpusmote.errors import ParameterError

__all__ = ["Entropy", "class_key", "draw", "draw_at", "entropy_words", "permute", "philox_block", "seed_of", "words"]

Entropy = tuple[int, ...]
"""The numbers from which all keys of one call are derived. A plan stores them, so that it can be replayed."""

_U32 = np.uint64(32)
_LOW32 = np.uint64(0xFFFFFFFF)


def entropy_words(random_state: object) -> Entropy:
    """The entropy of one call, from scikit-learn's ``random_state``.

    Parameters
    ----------
    random_state : int, numpy.random.RandomState, numpy.random.Generator or None
        An int is used as it is. From a generator, four 64-bit words are drawn once. For None, the operating system
        gives an int below 2**53, which all JSON readers represent exactly; NumPy's global generator is neither read
        nor changed.

    Returns
    -------
    tuple of int

    Raises
    ------
    ParameterError
        If ``random_state`` has another type, or is negative.
    """
    if random_state is None:
        return (secrets.randbits(53),)
    if isinstance(random_state, numbers.Integral):
        if random_state < 0:
            raise ParameterError(f"random_state is {random_state}.", "As an int it must be at least 0.")
        return (int(random_state),)
    if isinstance(random_state, np.random.RandomState):
        return tuple(int(w) for w in random_state.randint(0, 2**64, size=4, dtype=np.uint64))
    if isinstance(random_state, np.random.Generator):
        return tuple(int(w) for w in random_state.integers(0, 2**64, size=4, dtype=np.uint64))
    raise ParameterError(
        f"random_state is of type {type(random_state).__name__}.",
        "It must be an int, a RandomState, a Generator or None.",
    )


def seed_of(entropy: Entropy) -> int:
    """The int that, given as ``random_state``, gives the same keys as this entropy.

    Examples
    --------
    >>> drawn = entropy_words(np.random.default_rng(0))
    >>> bool((class_key(drawn, 1) == class_key((seed_of(drawn),), 1)).all())
    True
    """
    # SeedSequence splits each int into 32-bit words, the lowest first, without leading zero words.
    seed = at = 0
    for word in entropy:
        seed |= word << at
        at += 32 * max(1, -(-word.bit_length() // 32))
    return seed


def class_key(entropy: Entropy, position: int, recipe: int | None = None) -> np.ndarray:
    """The key of the class at ``position`` among the sorted classes, or of one of the several recipes of a class.

    Parameters
    ----------
    entropy : tuple of int
    position : int
    recipe : int, optional
        Number of the recipe, from 0, if a sampler gives the class a list of recipes.

    Returns
    -------
    ndarray of shape (2,), uint64

    Examples
    --------
    >>> class_key((0,), 1)
    array([ 4881901421217228719, 14018784465689921001], dtype=uint64)
    """
    words = entropy[0] if len(entropy) == 1 else entropy
    spawn_key = (position,) if recipe is None else (position, recipe)
    return np.random.SeedSequence(words, spawn_key=spawn_key).generate_state(2, np.uint64)


def words(key: np.ndarray, start: int, count: int, stream: int = 0) -> np.ndarray:
    """Raw words ``start`` to ``start + count`` of a stream, from NumPy's generator.

    Returns
    -------
    ndarray of shape (count,), uint64
    """
    generator = np.random.Philox(key=key, counter=(start >> 2) + (stream << 64))
    if start & 3:
        generator.random_raw(start & 3)
    return np.asarray(generator.random_raw(count), dtype=np.uint64)


def draw(key: np.ndarray, start: int, stop: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pick and gap of the samples ``start`` to ``stop`` of a class.

    Parameters
    ----------
    key : ndarray of shape (2,), uint64
    start, stop : int
        The first sample, and the one after the last.
    n : int
        Number of items to pick from, at least 1.

    Returns
    -------
    pick : ndarray of shape (stop - start,), int64
        In [0, n).
    gap : ndarray of shape (stop - start,), float64
        In [0, 1).

    Examples
    --------
    A slice holds the same numbers as the whole:

    >>> key = class_key((7,), 0)
    >>> pick, gap = draw(key, 0, 100, 12)
    >>> pick_part, gap_part = draw(key, 33, 60, 12)
    >>> bool((pick[33:60] == pick_part).all() and (gap[33:60] == gap_part).all())
    True
    """
    return _pick_and_gap(words(key, 2 * start, 2 * (stop - start)).reshape(-1, 2), n)


def draw_at(key: np.ndarray, samples: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pick and gap of any samples in any order; the same numbers as from :func:`draw`.

    Parameters
    ----------
    key : ndarray of shape (2,), uint64
    samples : ndarray of shape (m,), int64
        Numbers of the samples.
    n : int
        Number of items to pick from, at least 1.

    Returns
    -------
    pick : ndarray of shape (m,), int64
    gap : ndarray of shape (m,), float64
    """
    samples = samples.astype(np.uint64)
    counter = np.zeros((len(samples), 4), np.uint64)
    counter[:, 0] = (samples >> np.uint64(1)) + np.uint64(1)
    block = philox_block(key, counter)
    first = (samples & np.uint64(1)).astype(np.int64) * 2
    pair = np.take_along_axis(block, np.stack([first, first + 1], axis=1), axis=1)
    return _pick_and_gap(pair, n)


def _pick_and_gap(pairs: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    pick = _multiply_high(pairs[:, 0], np.uint64(n))[0].astype(np.int64)
    gap = (pairs[:, 1] >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return pick, gap


def _multiply_high(a: np.ndarray, b: np.uint64 | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """High and low 64 bits of the 128-bit product ``a * b``, from the four products of the 32-bit halves."""
    a_high, a_low = a >> _U32, a & _LOW32
    b_high, b_low = b >> _U32, b & _LOW32
    middle = a_high * b_low + ((a_low * b_low) >> _U32)
    other = a_low * b_high + (middle & _LOW32)
    return a_high * b_high + (middle >> _U32) + (other >> _U32), a * b


def philox_block(key: np.ndarray, counter: np.ndarray) -> np.ndarray:
    """The Philox4x64-10 blocks of several counters.

    Parameters
    ----------
    key : ndarray of shape (2,), uint64
    counter : ndarray of shape (m, 4), uint64
        Lowest word first.

    Returns
    -------
    ndarray of shape (m, 4), uint64

    Examples
    --------
    The first test vector of Random123 (key and counter are zero):

    >>> [hex(w) for w in philox_block(np.zeros(2, np.uint64), np.zeros((1, 4), np.uint64))[0]]
    ['0x16554d9eca36314c', '0xdb20fe9d672d0fdc', '0xd7e772cee186176b', '0x7e68b68aec7ba23b']
    """
    x0, x1, x2, x3 = (counter[:, i].copy() for i in range(4))
    # NumPy warns when 0-d arrays overflow, but not for 1-d arrays; Philox needs the overflow.
    k0, k1 = np.array([key[0]], np.uint64), np.array([key[1]], np.uint64)
    for _ in range(10):
        high0, low0 = _multiply_high(x0, np.uint64(0xD2E7470EE14C6C93))
        high2, low2 = _multiply_high(x2, np.uint64(0xCA5A826395121157))
        x0, x1, x2, x3 = high2 ^ x1 ^ k0, low2, high0 ^ x3 ^ k1, low0
        k0 = k0 + np.uint64(0x9E3779B97F4A7C15)
        k1 = k1 + np.uint64(0xBB67AE8584CAA73B)
    return np.stack([x0, x1, x2, x3], axis=1)


def permute(key: np.ndarray, positions: np.ndarray, n: int, rounds: int = 8) -> np.ndarray:
    """Images of ``positions`` under a pseudo-random permutation of ``range(n)``, which is not stored.

    The permutation is a Feistel network over the next even number of bits, with the finalizer of MurmurHash3 as its
    round function. A result of n or more is permuted again until it is below n (cycle walking; Black & Rogaway 2002,
    doi:10.1007/3-540-45760-7_9), fewer than four times on average.

    Parameters
    ----------
    key : ndarray of shape (2,), uint64
    positions : ndarray of int64
        In [0, n).
    n : int
        Number of positions in all.
    rounds : int, default=8
        Rounds of the Feistel network.

    Returns
    -------
    ndarray of int64
        In [0, n), a different number for each position.

    Examples
    --------
    >>> sorted(permute(class_key((0,), 0), np.arange(5), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    half = np.uint64(max(1, (max(n - 1, 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    round_keys = words(key, 0, rounds, stream=1)
    x = positions.astype(np.uint64)
    todo = np.arange(x.size)
    while todo.size:
        left, right = x[todo] >> half, x[todo] & mask
        for round_key in round_keys:
            left, right = right, left ^ (_mix(right + np.full_like(right, round_key)) & mask)
        x[todo] = (left << half) | right
        todo = todo[x[todo] >= np.uint64(n)]
    return x.astype(np.int64)


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.asarray(x ^ (x >> np.uint64(33)))
