"""Bounds as computed in float32 hold exactly: against fractions, with rows made to lie where rounding is worst."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.backends import kernels
from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER, build

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)

U = 2.0**-24
quick = settings(derandomize=True, deadline=None, max_examples=150)

# Both rows of a pair into the frame, then their bound: what search_balls does, with one thread for everything.
PAIRS = """
extern "C" __global__ void bounds_of_pairs(const double* cx, const double* cy, const double* origin, const float* dx,
                                           const float* dy, const float* zx, const float* zy, long long d,
                                           long long pairs, float* bound) {
    const Slack slack(d);
    const int quads = static_cast<int>((d + 3) / 4);
    for (long long i = 0; i < pairs; ++i) {
        float xx = 0.0f, yy = 0.0f, xy = 0.0f;
        for (int quad = 0; quad < quads; ++quad) {
            const long long at = 4 * quads * i;
            const Quad x = sum(difference(cx + at, origin + at, quad), reinterpret_cast<const Quad*>(dx + at)[quad]);
            const Quad y = sum(difference(cy + at, origin + at, quad), reinterpret_cast<const Quad*>(dy + at)[quad]);
            xx = add_products(xx, x, x);
            yy = add_products(yy, y, y);
            xy = add_products(xy, Quad{-2.0f * x.x, -2.0f * x.y, -2.0f * x.z, -2.0f * x.w}, y);
        }
        bound[i] = xy + (slack.query_part(xx, zx[i]) + slack.row_part(yy, zy[i]));
    }
}
extern "C" __global__ void reaches(const float* square, const float* radius, long long pairs, float* reached) {
    for (long long i = 0; i < pairs; ++i) reached[i] = reach(kappa_of(square[i]), radius[i]);
}
"""


def source():
    return kernels.source("lower_bound.cuh") + PAIRS


def computed(text, cx, cy, origin, rx, ry):
    """The bounds of rows c + r, of which r is float64 and kept in float32."""
    pairs, d = rx.shape
    columns = -(-d // 4) * 4

    def padded(a, dtype):
        out = np.zeros((pairs, columns), dtype)
        out[:, :d] = a
        return out

    z = [((r**2).sum(axis=1) * (1 + 2.0**-20) + 2.0**-100).astype("f4") for r in (rx, ry)]
    bound = np.empty(pairs, "f4")
    arrays = [padded(a, "f8") for a in (cx, cy, origin)] + [padded(r, "f4") for r in (rx, ry)] + [*z, bound]
    addresses = [a.ctypes.data for a in arrays]
    build(text)["bounds_of_pairs"].launch((1,), (1,), [*addresses[:-1], d, pairs, addresses[-1]])
    return bound


def exact(cx, cy, rx, ry):
    """|x - y|**2 of each pair as fractions."""
    lines = (np.stack([cx, rx, -cy, -ry], axis=2)).tolist()
    return [sum(sum(map(Fraction, column)) ** 2 for column in line) for line in lines]


def pairs_of(rng, kind, d, pairs=20):
    """Centres, an origin and differences, all within the unit ball."""
    size = 10.0 ** rng.uniform(-12, -0.5, (4, pairs, 1)) if kind != "equal sizes" else np.full((4, pairs, 1), 0.3)
    cx, cy, rx, ry = size * rng.uniform(-1, 1, (4, pairs, d)) / np.sqrt(d)
    origin = np.zeros((pairs, d))
    if kind == "far frame":
        origin = rng.uniform(-0.5, 0.5, (pairs, d)) / np.sqrt(d)
        cx, cy = cx + origin, cy + origin
    elif kind == "offset":
        cx, cy, origin = cx + 2.0**30, cy + 2.0**30, origin + 2.0**30
    elif kind == "next to each other":  # everything cancels but rounding
        cy, ry = cx.copy(), rx * (1 + rng.uniform(-4, 4, rx.shape) * U)
    elif kind == "same row, other leaf":
        ry = (cx - cy) + rx
    elif kind == "half way":  # differences that float32 rounds by as much as it can, all to the same side
        rx = rx.astype("f4").astype("f8") * (1 + 0.999 * U)
        ry = -(ry.astype("f4").astype("f8")) * (1 + 0.999 * U)
        cx, cy = cx * 0, cy * 0
    elif kind == "subnormal":
        cx, cy, rx, ry = (a * 2.0**-100 for a in (cx, cy, rx, ry))
    return cx, cy, origin, rx, ry


KINDS = [
    "sizes", "equal sizes", "far frame", "offset", "next to each other", "same row, other leaf", "half way",
    "subnormal",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(derandomize=True, deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), d=st.sampled_from([1, 2, 5, 16, 64]))
def test_never_more_than_the_distance_and_hardly_less(kind, seed, d):
    cx, cy, origin, rx, ry = pairs_of(np.random.default_rng(seed), kind, d)
    bound = computed(source(), cx, cy, origin, rx, ry)
    true = exact(cx, cy, rx, ry)
    assert all(Fraction(float(b)) <= t for b, t in zip(bound, true, strict=True))
    # By no more than two or three times what it takes away.
    lengths = [((a**2).sum(axis=1)) for a in (cx - origin + rx, cy - origin + ry, rx, ry)]
    slack = (2 * d + 32) * U * (sum(lengths) * 3 + 2.0**-98) + (32 * d + 64) * 2.0**-125
    assert all(float(t) - float(b) <= s for b, t, s in zip(bound, true, slack, strict=True))


@pytest.mark.parametrize(
    ("less", "kinds"),
    [
        ("more(0.0f)", ["sizes", "equal sizes", "half way", "next to each other"]),
        ("more(1.0f * 0x1p-24f)", ["equal sizes", "half way"]),
    ],
)
def test_without_the_slack_bounds_fail(less, kinds):
    """The tables above are hard enough: with no slack, or a unit of it, distances are below their bounds."""
    text = source()
    full = "more(static_cast<float>(2 * d + 32) * 0x1p-24f)"
    assert text.count(full) == 1
    for kind in kinds:
        cx, cy, origin, rx, ry = pairs_of(np.random.default_rng(0), kind, 16, 400)
        bound = computed(text.replace(full, less), cx, cy, origin, rx, ry)
        true = exact(cx, cy, rx, ry)
        assert any(Fraction(float(b)) > t for b, t in zip(bound, true, strict=True)), kind


@quick
@given(
    square=st.floats(-1, 16, width=32) | st.floats(0, 2.0**-120, width=32),
    radius=st.floats(0, 2, width=32) | st.floats(0, 2.0**-60, width=32),
)
def test_reach_is_rounded_up(square, radius):
    reached = np.empty(1, "f4")
    arrays = [np.array([square], "f4"), np.array([radius], "f4")]
    build(source())["reaches"].launch((1,), (1,), [*(a.ctypes.data for a in arrays), 1, reached.ctypes.data])
    reached, square, radius = Fraction(float(reached[0])), Fraction(max(0.0, square)), Fraction(radius)
    # sqrt(reached) >= sqrt(square) + radius, without roots: both sides squared, twice.
    left = reached - square - radius**2
    assert left >= 0
    assert left**2 >= 4 * square * radius**2
    assert float(reached) <= (float(square) ** 0.5 + float(radius) + 2.0**-59) ** 2 * (1 + 2.0**-17)
