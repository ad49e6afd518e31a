"""Files that cannot be used: one line with the reason, exit status 1 or 2, and no files are left."""

from __future__ import annotations

import datetime
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tests.cli.helpers import gpusmote, read, table, write


def text(content: str | bytes, name: str = "in.csv") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def data(change: Callable[[pa.Table], pa.Table], name: str = "in.parquet") -> Callable[[Path], Path]:
    return lambda folder: write(change(table()), folder / name)


def truncated(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = write(table(), folder / name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return make


def folder_called(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).mkdir()
        return folder / name

    return make


def with_column(name: str, values: list[object]) -> Callable[[pa.Table], pa.Table]:
    return lambda whole: whole.set_column(whole.column_names.index(name), name, pa.array(values))


AGES: list[object] = table()["age"].to_pylist()
KINDS: list[object] = table()["kind"].to_pylist()

SOURCES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "in.csv", "does not exist"),
    "empty": (text(""), "is empty"),
    "empty Parquet": (text("", "in.parquet"), "is empty"),
    "only a header": (text("a,kind\n"), "no rows"),
    "ragged": (text("a,kind\n1,x\n2,y,3\n"), "line 3: Expected 2 columns, got 3"),
    "binary": (text(bytes(range(256)) * 20), "is no CSV file"),
    "binary Parquet": (text(bytes(range(256)) * 20, "in.parquet"), "cannot be read"),
    "text as Arrow": (text("a,kind\n1,x\n", "in.arrow"), "cannot be read"),
    "truncated Parquet": (truncated("in.parquet"), "cannot be read"),
    "truncated Feather": (truncated("in.feather"), "cannot be read"),
    "truncated gzip": (truncated("in.csv.gz"), "cannot be read"),
    "truncated zstd": (truncated("in.csv.zst"), "cannot be read"),
    "unknown ending": (text("a,kind\n1,x\n", "in.xlsx"), "cannot be told from its name"),
    "folder": (folder_called("in.csv"), "is a folder"),
    "folder of Parquet": (folder_called("in.parquet"), "is a folder"),
    "no such target": (data(lambda t: t.rename_columns(["height", "sort", "age", "weight"])), "no column 'kind'"),
    "two columns of a name": (text("a,a,kind\n1,2,x\n3,4,y\n"), "'a' names more than one column"),
    "one class": (data(with_column("kind", ["rare"] * 120)), "one class only"),
    "missing label": (data(with_column("kind", [None, *KINDS[1:]])), "missing"),
    "missing label in CSV": (text("a,kind\n" + "1,0\n2,1\n" * 9 + "3,\n"), "row 18"),
    "measured target": (data(with_column("kind", [i / 7 for i in range(120)])), "measurement"),
    "NaN": (data(with_column("age", [float("nan"), *AGES[1:]])), "'age'"),
    "infinity": (data(with_column("age", [float("inf"), *AGES[1:]])), "'age'"),
    "missing value": (data(with_column("age", [None, *AGES[1:]])), "'age'"),
    "text among features": (data(with_column("age", [f"about {age}" for age in AGES])), "'age'"),
    "text among features in CSV": (data(with_column("age", [f"about {a}" for a in AGES]), "in.csv"), "'age'"),
    "dates": (data(with_column("age", [datetime.date(2013, 1, 1)] * 120)), "'age'"),
    "too few rows": (text("a,kind\n" + "1,x\n" * 20 + "2,y\n" * 3), "Class 'y' has 3 rows"),
    "only the target": (data(lambda t: t.select(["kind"])), "only column"),
}


VALUES = ["NaN", "infinity", "missing value"]  # of the features, which a plan does not read
CASES = [("resample", what) for what in SOURCES] + [("plan", what) for what in SOURCES if what not in VALUES]


@pytest.mark.parametrize(("command", "what"), CASES)
def test_the_error_of_a_bad_source_is_one_line(what: str, command: str, tmp_path: Path) -> None:
    make, said = SOURCES[what]
    source = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    out = ["-o", tmp_path / "out.csv", "--origins", tmp_path / "origins.csv"] if command == "resample" else []
    done = gpusmote(command, source, "--target", "kind", *out, "--report", tmp_path / "report.json")
    assert (done.status, done.out) == (1, ""), done
    first, *hints = done.err.splitlines()
    assert first.startswith("error: ")
    assert said in first, first
    assert str(source) in first
    assert "Error:" not in first, first  # the class of an unexpected error
    assert len(hints) <= 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_line_names_the_file_the_column_and_the_row(tmp_path: Path) -> None:
    source = data(with_column("age", [*AGES[:50], None, *AGES[51:]]))(tmp_path)
    first = gpusmote("resample", source, "--target", "kind", "-o", tmp_path / "out.csv").err.splitlines()[0]
    assert str(source) in first
    assert "'age'" in first
    assert "row 50 " in first


DESTINATIONS: dict[str, tuple[str, int, str]] = {
    "no such folder": ("nowhere/out.csv", 1, "does not exist"),
    "a folder": ("folder", 1, "cannot be told from its name"),
    "a folder with an ending": ("folder.csv", 1, "is a folder"),
    "the name of a folder": ("new.parquet/", 1, "new.parquet/ names a folder."),
    "the source": ("in.parquet", 1, "the same file"),
    "a link to the source": ("link.parquet", 1, "the same file"),
    "unknown ending": ("out.json", 1, "cannot be told from its name"),
}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("what", DESTINATIONS)
def test_the_error_of_a_bad_destination_is_one_line(what: str, force: bool, source: Path, tmp_path: Path) -> None:
    name, status, said = DESTINATIONS[what]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.parquet").symlink_to(source)
    before, content = sorted(tmp_path.rglob("*")), source.read_bytes()
    done = gpusmote("resample", source, "--target", "kind", "-o", f"{tmp_path}/{name}", *["--force"] * force)
    assert (done.status, done.out) == (status, ""), done
    assert said in done.err.splitlines()[0]
    assert sorted(tmp_path.rglob("*")) == before
    assert source.read_bytes() == content


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_a_read_only_folder_is_one_line(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    done = gpusmote("resample", source, "--target", "kind", "-o", folder / "out.csv")
    assert done.status == 1
    assert "permission denied" in done.err.splitlines()[0]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc, where no files can be created")
def test_the_error_of_a_file_system_without_files_is_one_line(source: Path) -> None:
    done = gpusmote("resample", source, "--target", "kind", "-o", "/proc/self/out.csv")
    assert done.status == 1
    assert done.err.startswith("error: /proc/self/out.csv ")
    assert len(done.err.splitlines()) <= 2


def test_a_full_disk_leaves_the_old_file(source: Path, tmp_path: Path) -> None:
    """A limit on the size of files takes the place of a full disk: a later write fails."""
    out = tmp_path / "out.csv"
    out.write_text("mine")
    done = subprocess.run(
        [sys.executable, "-m", "gpusmote", "resample", source, "--target", "kind", "-o", out, "--force"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith(f"error: {out} cannot be written: it exceeds the file size limit.")
    assert out.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "out.csv"]


def test_a_memory_limit_that_is_too_small_names_one_that_is_enough(source: Path, tmp_path: Path) -> None:
    arguments = [source, "--target", "kind", "--memory-limit", "100KB"]
    done = gpusmote("resample", *arguments, "-o", tmp_path / "out.csv")
    assert done.status == 1
    assert "--memory-limit" in done.err.splitlines()[1]
    planned = gpusmote("plan", *arguments)
    assert planned.status == 1
    assert "common  100 -> 100" in planned.out  # printed in spite of the error
    assert "--memory-limit" in planned.err.splitlines()[1]
    assert not (tmp_path / "out.csv").exists()


def test_the_error_of_a_missing_device_is_one_line(source: Path, tmp_path: Path) -> None:
    done = gpusmote("resample", source, "--target", "kind", "-o", tmp_path / "out.csv", "--device", "cuda:99")
    assert done.status == 1
    assert "no " in done.err.splitlines()[0]
    assert not (tmp_path / "out.csv").exists()


def test_the_error_of_a_large_k_names_the_class_and_the_largest_k(source: Path, tmp_path: Path) -> None:
    done = gpusmote("resample", source, "--target", "kind", "-o", tmp_path / "out.csv", "--k-neighbors", 20)
    assert done.status == 1
    assert "'rare' has 20 rows" in done.err.splitlines()[0]
    assert "19" in done.err.splitlines()[1]
    assert "--shrink-k" in done.err.splitlines()[1]


def test_a_strategy_that_does_not_fit_says_why(source: Path, tmp_path: Path) -> None:
    arguments = ["resample", source, "--target", "kind", "-o", tmp_path / "out.csv", "--sampling-strategy"]
    for strategy, said in [('{"rarer": 30}', "'rarer'"), ('{"rare": 3}', "3 rows of class 'rare'"), ("0.1", "0.1")]:
        done = gpusmote(*arguments, strategy)
        assert done.status == 2
        assert said in done.err.splitlines()[0]


def test_good_files_work(source: Path, tmp_path: Path) -> None:
    """The runs above fail early; with good files the same arguments work."""
    done = gpusmote("resample", source, "--target", "kind", "-o", tmp_path / "out.csv")
    assert done.status == 0
    assert read(tmp_path / "out.csv").num_rows == 200


def test_permissions_are_checked_by_the_library(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """typer would report a file without permissions as an error of the command line."""
    out = tmp_path / "out.csv"
    out.write_text("")
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    files = ["-o", out, "--origins", tmp_path / "origins.csv", "--report", tmp_path / "report.json"]
    done = gpusmote("resample", source, "--target", "kind", *files, "--force")
    assert done.status == 0, done.err
