"""What cannot be resampled: one clear error of our tree, naming file, column and row, and nothing left behind."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpusmote import SMOTE, BorderlineSMOTE, errors
from gpusmote.files import resample_file
from tests.files.helpers import FORMS, table, write


@pytest.fixture
def refused(tmp_path):
    """``refused(kind, source, *words, **options)``: what is raised, and that the folder is as it was."""

    def check(kind, source, *words, target="class", destination=None, **options):
        before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
        with pytest.raises(errors.GpusmoteError) as caught:
            resample_file(source, destination or tmp_path / "out.parquet", target=target, **options)
        text = str(caught.value)
        assert type(caught.value) is kind, repr(caught.value)
        assert "\n" not in text
        for word in words:
            assert str(word) in text
        assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path != tmp_path) == before
        return caught.value

    return check


@pytest.mark.parametrize("form", FORMS)
def test_missing_empty_folder(tmp_path, refused, form):
    error = refused(errors.FileError, tmp_path / f"none{form}", f"none{form}", "does not exist")
    assert (error.errno, error.filename) == (2, str(tmp_path / f"none{form}"))
    (tmp_path / f"empty{form}").touch()
    refused(errors.FileError, tmp_path / f"empty{form}", f"empty{form} is empty")
    (tmp_path / f"folder{form}").mkdir()
    refused(errors.FileError, tmp_path / f"folder{form}", "is a folder")


@pytest.mark.parametrize("form", FORMS)
def test_truncated(tmp_path, refused, form):
    path = write(table(5000), tmp_path / f"in{form}")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3 + 1])
    refused(errors.FileError, path, path)


@pytest.mark.parametrize("form", FORMS)
def test_binary(tmp_path, refused, form):
    path = tmp_path / f"in{form}"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    refused(errors.FileError, path, path)


def test_damaged_pages(tmp_path, refused):
    path = write(table(5000), tmp_path / "in.parquet", compression="zstd")
    data = bytearray(path.read_bytes())
    data[2000:60000] = bytes(58000)
    path.write_bytes(data)
    refused(errors.FileError, path, path, "cannot be read")


def test_ragged(tmp_path, refused):
    path = tmp_path / "in.csv"
    path.write_text("u,v,class\n" + "1,2,a\n" * 3000 + "1,a\n" + "1,2,b\n" * 3000)
    refused(errors.FileError, path, "in.csv, line 3002: Expected 3 columns, got 2")


def test_an_endless_quote(tmp_path, refused):
    path = tmp_path / "in.csv"
    path.write_text("u,class\n" + "1,a\n" * 9 + '1,"a\n' + "1,b\n" * 400_000)
    refused(errors.FileError, path, "quote", memory_limit="20MB")


def test_not_utf8_is_bytes_as_in_memory(tmp_path, refused):
    path = tmp_path / "in.csv"
    path.write_bytes("u,name,class\n1,caf\xe9,a\n2,th\xe9,b\n".encode("latin-1"))
    refused(errors.InputTypeError, path, "in.csv", "'name' (Binary)")


@pytest.mark.parametrize("form", FORMS)
def test_only_a_header(tmp_path, refused, form):
    path = tmp_path / f"in{form}"
    if ".csv" in form:
        with pa.output_stream(str(path), compression="detect") as out:
            out.write(b"u,class\n")
    else:
        write(pa.table({"u": pa.array([], pa.float64()), "class": pa.array([], pa.string())}), path)
    refused(errors.InputError, path, path.name, "no rows")


@pytest.mark.parametrize("form", [".csv", ".parquet", ".arrow"])
def test_columns(tmp_path, refused, form):
    path = tmp_path / f"in{form}"
    write(table(), path)
    refused(errors.InputError, path, "There is no column 'klass'", "'x0'", "'class'", path.name, target="klass")
    write(table().append_column("name", table()["class"]), path)
    refused(errors.InputTypeError, path, "'name' (String)", path.name)
    write(table().rename_columns(["x0", "x0", *table().column_names[2:]]), path)
    refused(errors.InputError, path, "'x0' names more than one column", path.name)
    write(table().select(["class"]), path)
    refused(errors.InputError, path, "'class' is the only column")


def test_a_blank_is_no_label_where_nothing_else_can_say_so(tmp_path, refused):
    labels = np.where(np.arange(900) % 9, "usual", "rare").astype(object)
    labels[777] = ""
    frame = table().set_column(5, "class", pa.array(labels, pa.string()))
    write(frame, tmp_path / "in.csv")
    refused(errors.NonFiniteError, tmp_path / "in.csv", "in.csv", "Column 'class' holds a missing label in row 777")
    labels[::7] = ""
    write(frame.set_column(5, "class", pa.array(labels, pa.string())), tmp_path / "in.parquet")
    report = resample_file(tmp_path / "in.parquet", tmp_path / "out.parquet", target="class")
    assert len(set(report.classes_after.values())) == 1
    assert "" in report.classes_after


@pytest.mark.parametrize("form", [".csv", ".parquet", ".arrow"])
def test_labels(tmp_path, refused, form):
    path = tmp_path / f"in{form}"
    labels = np.where(np.arange(900) % 9, 1, 2).astype(object)
    labels[777] = None
    write(table().set_column(5, "class", pa.array(labels, pa.int64())), path)
    refused(errors.NonFiniteError, path, path.name, "Column 'class' holds a missing label in row 777")
    write(table().set_column(5, "class", pa.array(np.ones(900, int))), path)
    refused(errors.InputError, path, path.name, "'class' has one class only, 1")
    write(table().set_column(5, "class", pa.array(np.arange(900) + 0.5)), path)
    refused(errors.InputError, path, "'class' holds 0.5, which is a measurement rather than a class, in row 0")


def test_labels_without_classes(tmp_path, refused):
    path = write(table().set_column(5, "class", pa.array([[1]] * 900)), tmp_path / "in.parquet")
    refused(errors.InputTypeError, path, "Column 'class' is of type list", "no classes")
    data = table().set_column(5, "class", pa.array(np.where(np.arange(900) == 600, np.nan, 1.0)))
    refused(errors.NonFiniteError, write(data, path), "'class' holds NaN in row 600")


@pytest.mark.parametrize("form", [".csv", ".parquet", ".arrow"])
@pytest.mark.parametrize("value", [np.nan, np.inf, None])
def test_values_that_are_not_finite(tmp_path, refused, form, value):
    values = table()["x1"].to_pylist()
    values[614] = value
    path = write(table().set_column(1, "x1", pa.array(values, pa.float64())), tmp_path / f"in{form}")
    refused(errors.NonFiniteError, path, path.name, "column 'x1' (1 ", "row 614 is the first")


def test_whole_numbers_that_no_float_holds(tmp_path, refused):
    data = table().set_column(4, "count", pa.array(np.arange(900) + 2**60))
    refused(errors.InputError, write(data, tmp_path / "in.parquet"), "in.parquet", "'count'", "2**53")


def test_too_few_rows_and_odd_strategies(tmp_path, refused):
    path = write(table(), tmp_path / "in.csv")
    few = int((np.array(table()["class"]) == "maybe").sum())
    refused(errors.TooFewRowsError, path, "in.csv", f"has {few} rows", sampler=SMOTE(k_neighbors=few))
    refused(errors.StrategyError, path, "3 classes", sampler=SMOTE(sampling_strategy=0.5))
    refused(errors.InputError, path, "3 classes", percentage=50)
    refused(errors.ParameterError, path, "k_neighbors", sampler=SMOTE(k_neighbors=0))
    refused(errors.ParameterError, path, "sampler is 'SMOTE'", sampler="SMOTE")
    refused(errors.ParameterError, path, "percentage and dup_size", percentage=50, dup_size=1)
    refused(errors.ParameterError, path, "sampling_strategy", dup_size=1, sampler=SMOTE(sampling_strategy="all"))
    for name, bad in (("percentage", -1), ("percentage", "2"), ("dup_size", 0), ("dup_size", 1.5)):
        refused(errors.ParameterError, path, name, **{name: bad})
    refused(errors.ParameterError, path, "memory_limit", memory_limit="much")
    refused(errors.ParameterError, 5, "source")


def test_the_index_of_pandas(tmp_path, refused):
    frame = table().to_pandas().query("flag")
    frame.to_parquet(tmp_path / "in.parquet")
    refused(errors.InputError, tmp_path / "in.parquet", "'__index_level_0__'", "index=False")
    pd.read_parquet(tmp_path / "in.parquet").to_parquet(tmp_path / "in.parquet", index=False)
    resample_file(tmp_path / "in.parquet", tmp_path / "out.parquet", target="class")


def test_destinations(tmp_path, refused):
    path = write(table(), tmp_path / "in.csv")
    to = {"destination": tmp_path / "none" / "out.csv"}
    refused(errors.FileError, path, "none of", "does not exist", **to)
    refused(errors.FileError, path, "cannot be told from its name", destination=tmp_path / "out.xlsx")
    (tmp_path / "folder.csv").mkdir()
    refused(errors.FileError, path, "folder.csv is a folder", destination=tmp_path / "folder.csv", force=True)
    (tmp_path / "there.csv").write_text("mine")
    error = refused(errors.DestinationExistsError, path, "there.csv exists", destination=tmp_path / "there.csv")
    assert isinstance(error, FileExistsError)
    refused(errors.DestinationExistsError, path, "there.csv exists", origins=tmp_path / "there.csv")
    refused(errors.FileError, path, "the same file", destination=path, force=True)
    (tmp_path / "link.csv").symlink_to(path)
    os.link(path, tmp_path / "hard.csv")
    for name in ("link.csv", "hard.csv"):
        refused(errors.FileError, path, "the same file", destination=tmp_path / name, force=True)
    refused(errors.FileError, path, "the same file", origins=tmp_path / "out.parquet")
    os.mkfifo(tmp_path / "pipe.csv")
    refused(errors.FileError, path, "not an ordinary file", destination=tmp_path / "pipe.csv", force=True)
    refused(errors.FileError, tmp_path / "pipe.csv", "no ordinary file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a folder without write permission")
def test_a_folder_without_write_permission(tmp_path, refused):
    path = write(table(), tmp_path / "in.csv")
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(errors.FileError, path, "permission denied", destination=tmp_path / "locked" / "out.csv")


def test_a_file_system_that_is_read_only(tmp_path, refused):
    # /proc is one for everybody, root included.
    path = write(table(), tmp_path / "in.csv")
    refused(errors.FileError, path, "/proc/self/out.csv", destination="/proc/self/out.csv")


@pytest.mark.parametrize("sampler", [SMOTE(sampling_strategy="minority"), BorderlineSMOTE()])
def test_rows_that_do_not_fit(tmp_path, refused, sampler):
    data = pa.table({"u": np.arange(400_000.0), "v": np.arange(400_000.0) ** 2, "class": np.arange(400_000) % 5 == 0})
    path = write(data, tmp_path / "in.parquet", row_group_size=50_000)
    rows = "400,000" if sampler._looks_at_all_rows else "80,000"
    error = refused(errors.MemoryLimitError, path, f"{rows} rows x 2 columns", memory_limit="10MB", sampler=sampler)
    assert "10,000,000 may be used" in error.message


def test_a_source_that_changes_meanwhile(tmp_path, refused):
    path = write(table(), tmp_path / "in.parquet")

    def change(stage, done, total):
        if stage == "make":
            os.utime(path, ns=(1, 1))

    with pytest.raises(errors.FileError, match="changed while it was read"):
        resample_file(path, tmp_path / "out.parquet", target="class", progress=change)
    assert os.listdir(tmp_path) == ["in.parquet"]


def test_a_csv_that_was_cut_in_the_middle_of_compression(tmp_path, refused):
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress(b"u,class\n" + b"1,2\n" * 500_000)[:-200])
    refused(errors.FileError, path, "Truncated compressed stream")


def test_parquet_without_columns(tmp_path, refused):
    pq.write_table(pa.table({}), tmp_path / "in.parquet")
    refused(errors.InputError, tmp_path / "in.parquet", "There is no column 'class'")
