"""Which source of candidates a search takes, by its sizes and what the data are like."""

from __future__ import annotations

import pytest

from gpusmote.neighbors.selection import SearchSize, choose, choose_second


@pytest.mark.parametrize(
    ("sizes", "dimension", "share", "expected"),
    [
        ((6, 3, 6, 5), None, None, ("every", 5)),
        ((9, 3, 9, 5), None, None, ("every", 8)),
        ((10, 3, 10, 5), None, None, ("tiles", 8)),
        ((1_999, 3, 1_999, 5), None, None, ("tiles", 8)),
        ((10_000, 3, 10_000, 5), 3.0, None, ("tree", 8)),
        ((10_000, 3, 7, 5), 3.0, None, ("tree", 8)),
        ((10_000, 3, 10_000, 5), 4.4, None, ("pairs", 8)),  # too many dimensions for so few rows
        ((80_000, 13, 80_000, 5), 3.6, 0.3, ("pruned", 8)),  # too many for so many columns
        ((80_000, 17, 80_000, 5), None, 0.3, ("pruned", 8)),
        ((80_000, 17, 80_000, 5), None, 0.45, ("pairs", 8)),
        ((80_000, 17, 70_000, 5), None, 0.4, ("pruned", 8)),
        ((400_000, 17, 400_000, 5), None, 0.4, ("pruned", 8)),  # pairs' lists would be too large
        ((80_000, 17, 70_000, 5), None, 0.7, ("tiles", 8)),
        ((80_000, 17, 2_000, 5), None, None, ("tiles", 8)),  # the balls would not pay
        ((80_000, 17, 80_000, 70), None, None, ("tiles", 73)),
        ((10_000, 17, 10_000, 5), None, None, ("pairs", 8)),
        ((10_000, 17, 9_000, 5), None, None, ("tiles", 8)),
        ((10_000, 17, 10_000, 500), None, None, ("tiles", 503)),  # the lists of all rows at once would be too large
        ((80_000, 3, 80_000, 5, False), None, None, ("device", 31)),
        ((80_000, 3, 80_000, 50, False), None, None, ("device", 58)),
        ((80_000, 3, 80_000, 2_040, False), None, None, ("product-float64", 2_048)),  # more than FAISS selects
        ((80_000, 3, 80_000, 5, True, 0), None, None, ("product", 8)),
    ],
)
def test_the_choice_of_a_source(sizes, dimension, share, expected):
    def measure(what):
        value = {"dimension": dimension, "share": share}[what]
        assert value is not None, "measured without need"
        return value

    source, why = choose(SearchSize(*sizes), measure)
    assert (source, SearchSize(*sizes).count) == expected
    assert f"{sizes[2]:,} queries among {sizes[0]:,} rows, {sizes[1]} columns" in why
    assert ("dimensions locally" in why) == (dimension is not None)
    assert ("of all pairs compared" in why) == (share is not None)


@pytest.mark.parametrize(
    ("sizes", "share", "expected"),
    [
        ((4_096, 17, 2_048, 5), 0.6, "pruned"),
        ((4_096, 17, 2_048, 5), 0.61, "tiles-float64"),
        ((4_095, 17, 2_048, 5), None, "tiles-float64"),
        ((4_096, 17, 2_047, 5), None, "tiles-float64"),
        ((4_096, 17, 2_048, 62), None, "tiles-float64"),
        ((4_096, 17, 2_048, 5, True, 1), None, "product-float64"),
        ((4_096, 17, 2_048, 5, False), None, "product-float64"),
    ],
)
def test_the_choice_of_a_second_source(sizes, share, expected):
    def measure(what):
        assert share is not None, "measured without need"
        assert what == "share"
        return share

    assert choose_second(SearchSize(*sizes), measure) == expected
