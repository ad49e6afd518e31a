"""``gpusmote resample``: what it writes, prints and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import gpusmote as library
from gpusmote.errors import GpusmoteWarning
from tests.cli.helpers import Ended, gpusmote, read, table, write

FORMS = ("csv", "csv.gz", "csv.zst", "parquet", "arrow", "feather")


def rare(path: Path) -> int:
    return int(pc.sum(pc.equal(pc.cast(read(path)["kind"], pa.string()), "rare")).as_py())


def in_memory(sampler: Any, data: pa.Table) -> pa.Table:
    """The result of the sampler in Python."""
    X, y = sampler.fit_resample(data.drop_columns(["kind"]), data["kind"])
    return X.add_column(1, data.schema.field("kind"), y)


@pytest.mark.parametrize("form", FORMS)
def test_every_format_has_the_rows_of_the_api(form: str, tmp_path: Path) -> None:
    source, out = write(table(), tmp_path / f"in.{form}"), tmp_path / f"out.{form}"
    done = gpusmote("resample", source, "--target", "kind", "-o", out, "--random-state", 3)
    assert done.status == 0, done.err
    assert read(out).equals(in_memory(library.SMOTE(random_state=3), read(source)))
    assert done.out.splitlines()[0].split(maxsplit=1) == [str(out), "200 rows, 80 of them synthetic"]


@pytest.mark.parametrize(
    ("arguments", "sampler"),
    [
        (["--k-neighbors", 3], library.SMOTE(k_neighbors=3)),
        (["--bit-generator", "mt19937"], library.SMOTE(bit_generator="mt19937")),
        (["--sampling-strategy", 0.5], library.SMOTE(sampling_strategy=0.5)),
        (["--sampling-strategy", "1"], library.SMOTE(sampling_strategy=1.0)),
        (["--sampling-strategy", "all"], library.SMOTE(sampling_strategy="all")),
        (["--sampling-strategy", '{"rare": 33}'], library.SMOTE(sampling_strategy={"rare": 33})),
        (["--percentage", 250], library.SMOTE(sampling_strategy={"rare": 70})),
        (["--dup-size", 3], library.SMOTE(sampling_strategy={"rare": 80})),
        (["--sampler", "BorderlineSMOTE"], library.BorderlineSMOTE()),
        (["--sampler", "borderlinesmote", "--kind", "borderline-2"], library.BorderlineSMOTE(kind="borderline-2")),
        (["--sampler", "BorderlineSMOTE", "--m-neighbors", 5], library.BorderlineSMOTE(m_neighbors=5)),
        (["--sampler", "adasyn", "--n-neighbors", 3], library.ADASYN(n_neighbors=3)),
        (["--shrink-k", "--k-neighbors", 50], library.SMOTE(k_neighbors=50, shrink_k=True)),
        (["--memory-limit", "2GB", "--device", "cpu"], library.SMOTE()),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_parameters_do_what_they_do_in_python(
    arguments: list[object], sampler: Any, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    done = gpusmote("resample", source, "--target", "kind", "-o", out, "--random-state", 1, *arguments)
    assert done.status == 0, done.err
    assert read(out).equals(in_memory(sampler.set_params(random_state=1), read(source)))


@pytest.mark.parametrize(
    ("labels", "strategy"),
    [
        (pa.array([0] * 50 + [1] * 10), '{"1": 25}'),
        (pa.array([False] * 50 + [True] * 10), '{"true": 25}'),
        (pa.array([False] * 50 + [True] * 10), '{"True": 25}'),
        (pa.array([0.0] * 50 + [1.0] * 10), '{"1": 25}'),
        (pa.array([0.0] * 50 + [1.0] * 10), '{"1.0": 25}'),
        (pa.array(["0"] * 50 + ["1"] * 10), '{"1": 25}'),
        (pa.array(["a b"] * 50 + ["ü"] * 10).dictionary_encode(), '{"ü": 25}'),
    ],
)
def test_labels_in_a_strategy_are_of_the_targets_type(labels: pa.Array, strategy: str, tmp_path: Path) -> None:
    data = pa.table({"x": pa.array(range(60), pa.float64()), "y": labels})
    source, out = write(data, tmp_path / "in.parquet"), tmp_path / "out.parquet"
    done = gpusmote("resample", source, "--target", "y", "-o", out, "--sampling-strategy", strategy)
    assert done.status == 0, done.err
    result = read(out)["y"].to_pylist()
    assert result.count(labels[-1].as_py()) == 25
    assert read(out).schema.field("y").type == labels.type


def test_originals_are_left_out_and_origins_written(source: Path, tmp_path: Path) -> None:
    out, origins = tmp_path / "new.parquet", tmp_path / "origins.parquet"
    files = ["--target", "kind", "-o", out, "--origins", origins]
    done = gpusmote("resample", source, *files, "--only-synthetic", "--random-state", 0)
    assert done.status == 0, done.err
    made, origin, data = read(out), read(origins), read(source)
    assert (made.num_rows, rare(out)) == (80, 80)
    assert origin.column_names == ["class", "base", "neighbor", "gap"]
    base, neighbor = (data["height"].take(origin[name]).to_numpy() for name in ("base", "neighbor"))
    assert (base + origin["gap"].to_numpy() * (neighbor - base) == made["height"].to_numpy()).all()


def test_the_report_is_json(source: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out.parquet", tmp_path / "report.json"
    arguments = ["--target", "kind", "-o", out, "--report", report, "--sampling-strategy", '{"rare": 30}']
    assert gpusmote("resample", source, *arguments).status == 0
    said = json.loads(report.read_text())
    assert said["classes"] == [
        {"label": "common", "before": 100, "after": 100},
        {"label": "rare", "before": 20, "after": 30},
    ]
    assert (said["rows_before"], said["rows_after"], said["n_synthetic"]) == (120, 130, 10)
    assert said["sampler"]["name"] == "SMOTE"
    assert json.loads(said["sampler"]["parameters"]["sampling_strategy"]) == {"rare": 30}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "out.parquet", "report.json"]


def test_a_report_on_standard_output(source: Path, tmp_path: Path) -> None:
    done = gpusmote("resample", source, "--target", "kind", "-o", tmp_path / "out.csv", "--report", "-")
    assert json.loads(done.out)["n_synthetic"] == 80


def test_quiet_prints_nothing(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert gpusmote("resample", source, "--target", "kind", "-o", out, "--quiet") == Ended(0, "", "")
    assert rare(out) == 100


def test_without_a_terminal_only_results_are_printed(source: Path, tmp_path: Path) -> None:
    done = gpusmote("resample", source, "--target", "kind", "-o", tmp_path / "out.parquet")
    assert done.err == ""
    assert "\x1b" not in done.out


def test_only_force_replaces_files(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    out.write_text("mine")
    arguments = ["resample", source, "--target", "kind", "-o", out]
    refused = gpusmote(*arguments)
    assert refused.status == 1
    assert refused.err.splitlines()[0] == f"error: {out} exists already."
    assert "--force" in refused.err.splitlines()[1]
    assert out.read_text() == "mine"
    assert gpusmote(*arguments, "--force").status == 0
    assert rare(out) == 100


@pytest.mark.parametrize("which", ["--report", "--origins"])
def test_an_existing_second_file_is_an_error_before_the_work(which: str, source: Path, tmp_path: Path) -> None:
    other = tmp_path / ("mine.json" if which == "--report" else "mine.parquet")
    other.write_text("mine")
    done = gpusmote("resample", source, "--target", "kind", "-o", tmp_path / "out.parquet", which, other)
    assert (done.status, other.read_text()) == (1, "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.parquet", other.name])


def test_warnings_are_one_line_each(tmp_path: Path) -> None:
    """The rare rows are far from all others, so none is in danger."""
    data = pa.table({"x": [float(i) for i in range(40)] + [1e6 + i for i in range(20)], "y": [0] * 40 + [1] * 20})
    source = write(data, tmp_path / "in.parquet")
    out = ["-o", tmp_path / "out.parquet"]
    done = gpusmote("resample", source, "--target", "y", *out, "--sampler", "BorderlineSMOTE", "--m-neighbors", 5)
    assert done.status == 0, done.err
    (line,) = done.err.splitlines()
    assert line.startswith("warning: BorderlineSMOTE finds no seed in class 1 (20 rows)")
    with pytest.warns(GpusmoteWarning, match="finds no seed"):  # the same warning as in Python
        library.BorderlineSMOTE(m_neighbors=5).fit_resample(data.select(["x"]), data["y"])


def test_notes(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed")
    arguments = ["resample", source, "--target", "kind", "-o", tmp_path / "out.csv", "--force", "--search"]
    done = gpusmote(*arguments, "approximate")
    (note,) = done.err.splitlines()
    assert note.startswith("note: ")
    assert note.endswith("; the exact search was used.")
    assert gpusmote(*arguments, "approximate", "--quiet").err == ""
    assert gpusmote(*arguments, "exact").err == ""
    cut = gpusmote(*arguments, "exact", "--shrink-k", "--k-neighbors", 50)
    assert cut.err == "note: Class 'rare': 19 neighbors of each row instead of 50.\n"


def test_a_warning_is_not_repeated_as_a_note(tmp_path: Path) -> None:
    apart = pa.table({"a": [*range(40), *range(1000, 1020)], "kind": ["common"] * 40 + ["rare"] * 20})
    source = write(apart, tmp_path / "in.csv")
    done = gpusmote("resample", source, "--target", "kind", "-o", tmp_path / "o.csv", "--sampler", "BorderlineSMOTE")
    assert done.err == (
        "warning: BorderlineSMOTE finds no seed in class 'rare' (20 rows): all its rows are used as seeds, as in "
        "SMOTE. The parameter --no-seeds decides.\n"
    )
