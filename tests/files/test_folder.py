"""A folder of Parquet files is one table."""

from __future__ import annotations

import os

import pyarrow as pa
import pytest

from gpusmote import ADASYN, SMOTE, errors
from gpusmote.cli.dry_run import forecast
from gpusmote.files import resample_file
from gpusmote.files.memory import FileMemory
from tests.files.helpers import assert_same, read, table, write


@pytest.fixture
def parts(tmp_path):
    """A folder whose files hold one table, in the order of their names, and other files, which are ignored."""
    folder = tmp_path / "parts"
    folder.mkdir()
    for name, start, stop in (("b.parquet", 200, 210), ("a.parquet", 0, 200), ("c.parquet", 210, 900)):
        write(table().slice(start, stop - start), folder / name, row_group_size=70)
    for name in ("_SUCCESS", ".hidden.parquet", "_metadata.parquet", "notes.txt"):
        (folder / name).write_text("not a table")
    return folder


@pytest.mark.parametrize("sampler", [SMOTE(random_state=1), ADASYN(random_state=1)])
@pytest.mark.parametrize("to", [".csv", ".parquet", ".arrow"])
def test_the_result_is_that_of_the_concatenated_file(tmp_path, parts, sampler, to, monkeypatch):
    monkeypatch.setattr(FileMemory, "batch_rows", lambda memory, schema: 90)
    whole = write(table(), tmp_path / "whole.parquet")
    for source, out in ((whole, "wanted"), (parts, "out")):
        origins = tmp_path / f"{out}-origins.csv"
        resample_file(source, tmp_path / f"{out}{to}", target="class", sampler=sampler, origins=origins)
    assert (tmp_path / "out-origins.csv").read_bytes() == (tmp_path / "wanted-origins.csv").read_bytes()
    if to == ".csv":
        assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "wanted.csv").read_bytes()
    else:
        assert_same(read(tmp_path / f"out{to}"), read(tmp_path / f"wanted{to}"))


def test_report_progress_and_forecast(tmp_path, parts):
    seen = []
    name = f"{parts}{os.sep}"  # as shells complete it
    report = resample_file(name, tmp_path / "out.parquet", target="class", progress=lambda *now: seen.append(now))
    size = sum((parts / name).stat().st_size for name in ("a.parquet", "b.parquet", "c.parquet"))
    assert (report.rows_before, report.bytes_read) == (900, size)
    assert ("scan", size, size) in seen
    assert ("copy", 900, 900) in seen
    assert forecast(parts, target="class", sampler=SMOTE())[0]["n_synthetic"] == report.n_synthetic


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: data.drop_columns(["x1"]), "column 2 is 'x1' (double) in the first and 'x2' (double)"),
        (lambda data: data.drop_columns(["small"]), "column 8 is 'small' (float) in the first and missing"),
        (lambda data: data.append_column("new", data["x0"]), "column 9 is missing in the first and 'new' (double)"),
        (lambda data: data.set_column(4, "count", data["x0"]), "column 5 is 'count' (int64) in the first and 'count'"),
        (lambda data: data.select(["x1", "x0", *data.column_names[2:]]), "column 1 is 'x0' (double) in the first and"),
    ],
    ids=["missing", "missing at the end", "more", "another type", "another order"],
)
def test_files_with_different_columns_are_refused(tmp_path, parts, change, what):
    write(change(table()), parts / "b.parquet")
    with pytest.raises(errors.InputError) as caught:
        resample_file(parts, tmp_path / "out.parquet", target="class")
    assert f"{parts / 'a.parquet'} and {parts / 'b.parquet'} differ: {what}" in str(caught.value)
    assert not (tmp_path / "out.parquet").exists()


def test_metadata_and_nullability_may_differ(tmp_path, parts):
    data = table().slice(200, 10)
    fields = [field.with_nullable(False) for field in data.schema]
    write(data.cast(pa.schema(fields, {"from": "elsewhere"})), parts / "b.parquet")
    resample_file(parts, tmp_path / "out.parquet", target="class", sampler=SMOTE(random_state=0))
    whole = write(table(), tmp_path / "whole.parquet")
    resample_file(whole, tmp_path / "wanted.parquet", target="class", sampler=SMOTE(random_state=0))
    assert_same(read(tmp_path / "out.parquet"), read(tmp_path / "wanted.parquet"))


def test_folders_that_are_refused(tmp_path, parts):
    (parts / "more").mkdir()
    with pytest.raises(errors.FileError, match=r"parts has the subfolder more, which is not read"):
        resample_file(parts, tmp_path / "out.parquet", target="class")
    (parts / "more").rename(parts / "_temporary")  # ignored
    with pytest.raises(errors.FileError, match=r"out\.parquet is in the source folder"):
        resample_file(parts, parts / "out.parquet", target="class")
    with pytest.raises(errors.FileError, match=r"a\.parquet is in the source folder"):
        resample_file(parts, parts / "a.parquet", target="class", force=True)
    (parts / "a.parquet").write_bytes(b"damaged")
    with pytest.raises(errors.FileError, match=r"a\.parquet cannot be read"):
        resample_file(parts, tmp_path / "out.parquet", target="class")
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.FileError, match=r"empty is a folder without \*\.parquet files"):
        resample_file(tmp_path / "empty", tmp_path / "out.parquet", target="class")


def test_a_file_that_is_added_during_the_run(tmp_path, parts):
    def add(stage, done, total):
        if stage == "copy":
            write(table(), parts / "d.parquet")

    with pytest.raises(errors.FileError, match="parts was changed while it was read"):
        resample_file(parts, tmp_path / "out.parquet", target="class", progress=add)
    assert os.listdir(tmp_path) == ["parts"]
