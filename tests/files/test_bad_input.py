"""What cannot be resampled: one clear error of our tree, naming file, column and row, and nothing left behind."""

from __future__ import annotations

import base64
import datetime
import decimal
import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import imblearn.over_sampling
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from gpusmote import SMOTE, BorderlineSMOTE, config_context, errors
from gpusmote.backends import detect
from gpusmote.files import resample_file
from tests.files.helpers import FORMS, in_memory, read, table, write

ROOT = Path(__file__).parents[2]


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
    refused(errors.FileError, tmp_path / f"folder{form}", "is a folder without *.parquet files")


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


FLIP = """
import random, sys
from pathlib import Path
from gpusmote import errors
from gpusmote.files.formats import form_of
from gpusmote.files.sources import ArrowSource, ParquetSource

def values(path):
    source = (ParquetSource if path.suffix == ".parquet" else ArrowSource)(path, form_of(path))
    if path.suffix == ".parquet":
        source.held_at_once(), source.compression()
    found = [column.to_pylist() for batch in source.batches(source.schema.names, 100) for column in batch.columns]
    source.close()
    return repr([source.schema.names, found])

path, start, stop, times = Path(sys.argv[1]), *map(int, sys.argv[2:])
content, expected = path.read_bytes(), values(path)
told = {"refused": 0, "same": 0, "other": 0}
for bit in random.Random(0).choices(range(8 * start, 8 * stop), k=times):
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    print(bit, file=sys.stderr)
    try:
        told["same" if values(path) == expected else "other"] += 1
    except errors.GpusmoteError:
        told["refused"] += 1
print(told["refused"], told["same"], told["other"])
"""


def flipped(path, start, stop, times):
    """How often a file with a flipped bit is refused, read as it was and read as another; in another process."""
    done = subprocess.run(
        [sys.executable, "-c", FLIP, *map(str, (path, start, stop, times))],
        capture_output=True, text=True, check=False, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return tuple(map(int, done.stdout.split()))


def small(categories):
    data = table(120, labels=("no", "yes"), d=1).select(["x0", "class", "count"])
    return data.set_column(1, "class", data["class"].dictionary_encode()) if categories else data


@pytest.mark.parametrize("categories", [False, True], ids=["text", "categories"])
@pytest.mark.parametrize("form", [".arrow", ".feather"])
def test_a_bit_flipped_in_an_arrow_file_does_not_end_the_process(tmp_path, form, categories):
    path = tmp_path / f"in{form}"
    if form == ".feather":
        pyarrow.feather.write_feather(small(categories), path, compression="lz4")
    else:
        write(small(categories), path, row_group_size=60)
    refused, same, other = flipped(path, 0, path.stat().st_size, 400)
    assert refused > 80
    assert refused + same + other == 400


def footer(path):
    """Where the metadata of a Parquet file begin."""
    content = path.read_bytes()
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def test_a_bit_flipped_in_the_metadata_of_a_parquet_file_does_not_end_the_process(tmp_path):
    path = write(small(True), tmp_path / "in.parquet", row_group_size=60)
    refused, _, _ = flipped(path, footer(path), path.stat().st_size, 400)
    assert refused > 80


def test_a_bit_flipped_in_the_pages_of_a_parquet_file_with_checksums_is_noticed(tmp_path):
    # Such as those that are written here.
    resample_file(write(small(False), tmp_path / "in.parquet"), tmp_path / "out.parquet", target="class")
    refused, same, other = flipped(tmp_path / "out.parquet", 4, footer(tmp_path / "out.parquet"), 400)
    assert refused > 300
    assert other == 0
    assert same < 160  # of what describes a page


class Keys:
    """Makes the keys of an encrypted Parquet file."""

    def __init__(self, encryption):
        class Client(encryption.KmsClient):
            def wrap_key(self, key, name):
                return base64.b64encode(key)

            def unwrap_key(self, key, name):
                return base64.b64decode(key)

        self.factory = encryption.CryptoFactory(lambda _: Client())
        self.connection = encryption.KmsConnectionConfig()


OPEN_ALL = """
import sys
from gpusmote import errors
from gpusmote.files import resample_file
for path in sys.argv[2:]:
    try:
        resample_file(path, sys.argv[1], target="class")
    except errors.FileError as error:
        print(error)
"""


def test_encrypted_columns_do_not_end_the_process(tmp_path):
    encryption = pytest.importorskip("pyarrow.parquet.encryption", reason="this pyarrow knows no encryption")
    keys = Keys(encryption)
    data = table()
    paths = []
    for column, plain in (("x0", True), ("class", True), ("small", True), ("x0", False)):
        how = encryption.EncryptionConfiguration(footer_key="f", column_keys={"c": [column]}, plaintext_footer=plain)
        properties = keys.factory.file_encryption_properties(keys.connection, how)
        paths.append(tmp_path / f"{column}-{plain}.parquet")
        with pq.ParquetWriter(paths[-1], data.schema, encryption_properties=properties) as writer:
            writer.write_table(data)
    done = subprocess.run(
        [sys.executable, "-c", OPEN_ALL, str(tmp_path / "out.parquet"), *map(str, paths)],
        capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == len(paths)
    for line, path in zip(told, paths, strict=True):
        assert line.startswith(f"{path} cannot be read: ")
        assert "crypt" in line
    assert sorted(os.listdir(tmp_path)) == sorted(path.name for path in paths)


def test_ragged(tmp_path, refused):
    path = tmp_path / "in.csv"
    path.write_text("u,v,class\n" + "1,2,a\n" * 3000 + "1,a\n" + "1,2,b\n" * 3000)
    refused(errors.FileError, path, "in.csv, line 3002: Expected 3 columns, got 2")


def test_an_endless_quote(tmp_path, refused):
    path = tmp_path / "in.csv"
    path.write_text("u,class\n" + "1,a\n" * 9 + '1,"a\n' + "1,b\n" * 400_000)
    refused(errors.FileError, path, "quote", memory_limit="20MB")


@pytest.mark.parametrize("to", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("u,name,class\n1,caf\xe9,a\n2,th\xe9,b\n", "column 'name'"),
        ("u,class\n" + "1,caf\xe9\n2,th\xe9\n" * 20, "column 'class'"),
        ("u,class\n" + "1,a\n2,b\n" * 5000 + "3,caf\xe9\n", "column 'class'"),
        ("u,cl\xe9\n1,a\n2,b\n", "its header"),
    ],
)
def test_text_that_is_not_utf8_is_told_of_the_source(tmp_path, refused, text, where, to):
    path = tmp_path / "in.csv"
    path.write_bytes(text.encode("latin-1"))
    refused(errors.FileError, path, "in.csv is not encoded in UTF-8", where, "iconv", destination=tmp_path / f"out{to}")


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
    refused(errors.InputTypeError, path, "1 column is not numeric: 'name' (string)", path.name, "columns=['name']")
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
    refused(errors.InputError, path, "'class' holds 0.5, which is a measurement, in row 0")


def test_labels_without_classes(tmp_path, refused):
    path = write(table().set_column(5, "class", pa.array([[1]] * 900)), tmp_path / "in.parquet")
    refused(errors.InputTypeError, path, "Column 'class' is of type list", "cannot be classes")
    data = table().set_column(5, "class", pa.array(np.where(np.arange(900) == 600, np.nan, 1.0)))
    refused(errors.NonFiniteError, write(data, path), "'class' holds NaN in row 600")


VIEWS = int(pa.__version__.partition(".")[0]) >= 21
NO_VIEWS = "pyarrow before 21 neither casts text to polars' text type nor writes that to Parquet"
OTHERS = {
    "text": pa.array(["p", "q"] * 450),
    **({"view": pa.array(["p", "q"] * 450, pa.string_view())} if VIEWS else {}),
    "categories": pa.array(["p", "q"] * 450).dictionary_encode(),
    "bytes": pa.array([b"p"] * 900),
    "money": pa.array([decimal.Decimal("1.50")] * 900),
    "day": pa.array([datetime.date(2020, 1, 1)] * 900),
    "moment": pa.array([datetime.datetime(2020, 1, 1)] * 900),
    "span": pa.array([1] * 900, pa.duration("s")),
    "list": pa.array([[1.0]] * 900),
    "record": pa.array([{"a": 1}] * 900),
    "nothing": pa.nulls(900),
}


@pytest.mark.parametrize("form", [".parquet", ".arrow"])
def test_every_column_that_is_not_numeric_is_named_with_what_to_do(tmp_path, refused, form):
    data = table()
    for name, values in OTHERS.items():
        data = data.append_column(name, values)
    path = write(data, tmp_path / f"in{form}")
    told = [f"{len(OTHERS)} columns are not numeric", "'text' (string)", *["and 1 more"] * (len(OTHERS) == 11)]
    error = refused(errors.InputTypeError, path, *told)
    assert "categorical" not in str(error)
    for name in OTHERS:
        one = write(data.select([*table().column_names, name]), path)
        said = {"nothing": "without any value"}.get(name, str(read(one).schema.field(name).type))
        error = refused(errors.InputTypeError, one, f"1 column is not numeric: '{name}' ({said})", path.name)
        line = re.search(r"leave columns out: (.*)\.", error.hint)[1]
        without = eval(line.replace("'in", f"'{tmp_path}/in"), {"pandas": pd})
        assert list(without) == table().column_names


def test_the_line_that_encodes_text_makes_a_file_that_can_be_resampled(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = table().append_column("text", OTHERS["text"]).append_column("void", pa.array([""] * 900))
    for form in (".csv", ".parquet", ".feather"):
        path = write(data, tmp_path / f"in{form}")
        error = refused(errors.InputTypeError, path, "2 columns are not numeric", "'text' (string)", "'void'")
        line = re.search(r"(pandas\.get_dummies\(.*\)), or leave", error.hint)[1]
        exec(line, {"pandas": pd})
        report = resample_file(f"encoded{form}", tmp_path / f"done{form}", target="class")
        assert report.n_features == 7 + 2 + 1 * (form != ".csv")


@pytest.mark.skipif(not VIEWS, reason=NO_VIEWS)
def test_labels_in_the_text_type_of_polars(tmp_path):
    data = table()
    views = data.set_column(5, "class", data["class"].cast(pa.string_view()))
    for form in (".parquet", ".arrow"):
        path = write(views, tmp_path / f"in{form}")
        resample_file(path, tmp_path / f"out{form}", target="class", sampler=SMOTE(random_state=0))
        assert read(tmp_path / f"out{form}").schema == views.schema
        assert read(tmp_path / f"out{form}")["class"].cast(pa.string()).equals(in_memory(data)["class"])
    resample_file(path, tmp_path / "out.csv", target="class", sampler=SMOTE(random_state=0))
    assert read(tmp_path / "out.csv")["class"].equals(in_memory(data)["class"])


@pytest.mark.skipif(not VIEWS, reason=NO_VIEWS)
@pytest.mark.parametrize("form", [".parquet", ".arrow", ".csv"])
def test_labels_in_the_categories_of_polars(tmp_path, form):
    data = table()
    kind = pa.dictionary(pa.uint32(), pa.string_view())
    codes = data["class"].combine_chunks().dictionary_encode().cast(pa.dictionary(pa.uint32(), pa.string()))
    path = write(data.set_column(5, "class", codes.cast(kind)), tmp_path / "in.arrow")
    resample_file(path, tmp_path / f"out{form}", target="class", sampler=SMOTE(random_state=0))
    found = read(tmp_path / f"out{form}")["class"]
    assert (found.type == kind) == (form == ".arrow")
    assert found.to_pylist() == in_memory(data)["class"].to_pylist()


ROWS = [f"{i}.5,{i % 7},{'b' if i % 5 else 'a'}" for i in range(200)]


def test_text_as_other_programs_write_it(tmp_path):
    header = "u,v,class"
    plain = tmp_path / "plain.csv"
    plain.write_text("\n".join([header, *ROWS]))
    resample_file(plain, tmp_path / "plain.parquet", target="class", sampler=SMOTE(random_state=0))
    expected = read(tmp_path / "plain.parquet")
    for name, text in {
        "mark": "\ufeff" + "\n".join([header, *ROWS]),
        "windows": "\r\n".join([header, *ROWS, ""]),
        "old": "\r".join([header, *ROWS, ""]),
        "blank lines": "\n\n".join([header, *ROWS, "", ""]),
    }.items():
        path = tmp_path / f"{name}.csv"
        path.write_bytes(text.encode())
        for to in (".parquet", ".csv"):
            resample_file(path, tmp_path / f"out{to}", target="class", sampler=SMOTE(random_state=0), force=True)
        assert read(tmp_path / "out.parquet").equals(expected), name
        assert read(tmp_path / "out.csv")["u"].equals(expected["u"]), name
    path.write_text("\n".join([header, *(row.replace("a", '"a\nb"') for row in ROWS)]))
    report = resample_file(path, tmp_path / "out.csv", target="class", force=True)
    assert report.classes_after == {"a\nb": 160, "b": 160}


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_columns_that_are_not_separated_by_commas(tmp_path, refused, mark):
    path = tmp_path / "in.csv"
    rows = [row.replace(",", mark).replace(".", ",") for row in ROWS]
    path.write_text("\n".join([mark.join(["u", "v", "class"]), *rows]))
    refused(errors.FileError, path, f"in.csv separates its columns by {mark!r}", 'decimal=","')


def test_decimal_commas_are_text(tmp_path, refused):
    path = tmp_path / "in.csv"
    path.write_text("\n".join(["u,v,class", *(f'"{i},5",{i % 7},{i % 2}' for i in range(200))]))
    refused(errors.InputTypeError, path, "1 column is not numeric: 'u' (string)")


@pytest.mark.parametrize("text", ["u,v,class", "u,v,class\n", "\n", "\ufeff"])
def test_no_rows_of_text(tmp_path, refused, text):
    path = tmp_path / "in.csv"
    path.write_text(text)
    with pytest.raises(errors.GpusmoteError, match=r"in\.csv.*no rows"):
        resample_file(path, tmp_path / "out.csv", target="class")
    assert os.listdir(tmp_path) == ["in.csv"]


def test_integers_beyond_what_a_float_holds_in_text(tmp_path, refused):
    path = tmp_path / "in.csv"
    path.write_text("\n".join(["u,v,class", *(f"{2**60 + i},{i % 7},{i % 2}" for i in range(200))]))
    refused(errors.InputError, path, "in.csv", "'u'", "2**53")


@pytest.mark.parametrize("form", [".csv", ".parquet", ".arrow"])
@pytest.mark.parametrize("value", [np.nan, np.inf, None])
def test_values_that_are_not_finite(tmp_path, refused, form, value):
    values = table()["x1"].to_pylist()
    values[614] = value
    path = write(table().set_column(1, "x1", pa.array(values, pa.float64())), tmp_path / f"in{form}")
    refused(errors.NonFiniteError, path, path.name, "column 'x1' (1 ", "first of them is in row 614 ")


def test_whole_numbers_that_no_float_holds(tmp_path, refused):
    data = table().set_column(4, "count", pa.array(np.arange(900) + 2**60))
    refused(errors.InputError, write(data, tmp_path / "in.parquet"), "in.parquet", "'count'", "2**53")


def test_a_device_that_is_not_there_is_told_before_a_row_is_read(tmp_path, refused, monkeypatch):
    """But after what takes no package to find out: arguments, then files."""
    monkeypatch.setattr(detect, "look", lambda: detect.Found(*["not found"] * 4, 0, False, False, False))
    path = write(table(), tmp_path / "in.parquet")
    told, sampler = [], SMOTE(device="cuda")
    refused(errors.DeviceError, path, "no CUDA device can be used", sampler=sampler, progress=told.append)
    with config_context(device="cuda"):
        refused(errors.DeviceError, path, "the configuration says", progress=told.append)
    assert told == []
    refused(errors.ParameterError, path, "percentage is -1", sampler=sampler, percentage=-1)
    refused(errors.FileError, tmp_path / "none.csv", "does not exist", sampler=sampler)
    existing = write(table(), tmp_path / "existing.csv")
    refused(errors.DestinationExistsError, path, "exists already", sampler=sampler, destination=existing)
    refused(errors.DeviceError, path, "no CUDA", sampler=sampler, destination=existing, force=True)


def test_too_few_rows_and_odd_strategies(tmp_path, refused):
    path = write(table(), tmp_path / "in.csv")
    few = int((np.array(table()["class"]) == "maybe").sum())
    refused(errors.TooFewRowsError, path, "in.csv", f"has {few} rows", sampler=SMOTE(k_neighbors=few))
    refused(errors.StrategyError, path, "3 classes", sampler=SMOTE(sampling_strategy=0.5))
    refused(errors.InputError, path, "3 classes", percentage=50)
    refused(errors.ParameterError, path, "k_neighbors", sampler=SMOTE(k_neighbors=0))
    for sampler, what in (
        ("SMOTE", "of type builtins.str"),
        (SMOTE, "the class gpusmote.over_sampling.smote.SMOTE"),
        (imblearn.over_sampling.SMOTE(), "of type imblearn.over_sampling._smote.base.SMOTE"),
    ):
        refused(errors.ParameterError, path, f"sampler is {what}. It must be an instance", sampler=sampler)
    refused(errors.ParameterError, path, "percentage and dup_size are given", percentage=50, dup_size=1)
    three = {"percentage": 50, "dup_size": 1, "sampler": SMOTE(sampling_strategy=0.5)}
    refused(errors.ParameterError, path, "percentage and dup_size and sampling_strategy are given", **three)
    refused(errors.ParameterError, path, "sampling_strategy", dup_size=1, sampler=SMOTE(sampling_strategy="all"))
    for name, bad in (("percentage", -1), ("percentage", "2"), ("dup_size", 0), ("dup_size", 1.5)):
        refused(errors.ParameterError, path, name, **{name: bad})
    refused(errors.ParameterError, path, "memory_limit", memory_limit="much")
    for source in (5, table().to_pandas()):
        refused(errors.ParameterError, source, f"source is of type {type(source).__name__}.")


def test_the_index_of_pandas(tmp_path, refused):
    frame = table().to_pandas().query("flag")
    frame.to_parquet(tmp_path / "in.parquet")
    refused(errors.InputError, tmp_path / "in.parquet", "'__index_level_0__'", "index=False")
    pd.read_parquet(tmp_path / "in.parquet").to_parquet(tmp_path / "in.parquet", index=False)
    resample_file(tmp_path / "in.parquet", tmp_path / "out.parquet", target="class")


@pytest.mark.parametrize("name", ["source", "destination", "origins"])
def test_the_name_of_a_folder(tmp_path, refused, name):
    path = write(table(), tmp_path / "in.parquet")
    given = {"source": path, name: f"{tmp_path}/new.csv/" if name != "source" else f"{path}/"}
    error = refused(errors.FileError, given.pop("source"), f"{given.get(name, f'{path}/')} names a folder.", **given)
    assert error.hint == f"Name a file, such as {error.filename[:-1]}."


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
    refused(errors.FileError, tmp_path / "pipe.csv", "not a regular file")


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
    assert "memory_limit allows 10,000,000 bytes" in error.message


def set_back(path):
    """Other bytes, and the time of the last write as it was."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("form", [".csv", ".parquet", ".arrow"])
@pytest.mark.parametrize(
    "change",
    [lambda path: os.utime(path, ns=(1, 1)), set_back, os.unlink, lambda path: (path.unlink(), path.mkdir())],
    ids=["written", "written and its time set back", "removed", "a folder instead"],
)
def test_a_source_that_changes_meanwhile(tmp_path, change, form):
    path = write(table(), tmp_path / f"in{form}")

    def make(stage, done, total):
        if stage == "make" and done == total:
            change(path)

    with pytest.raises(errors.FileError, match="changed while it was read"):
        resample_file(path, tmp_path / "out.parquet", target="class", progress=make)
    assert set(os.listdir(tmp_path)) <= {path.name}


@pytest.mark.parametrize("form", [".parquet", ".arrow"])
def test_a_source_that_cannot_be_closed_costs_nothing(tmp_path, monkeypatch, form):
    path = write(table(), tmp_path / f"in{form}")
    failed = []

    def failing(kind):
        class Failing(kind):
            def close(self, *arguments, **options):
                super().close(*arguments, **options)
                failed.append(kind)
                raise OSError(5, "Input/output error")

        return Failing

    monkeypatch.setattr(pa, "OSFile", failing(pa.OSFile))
    monkeypatch.setattr(pq, "ParquetFile", failing(pq.ParquetFile))
    resample_file(path, tmp_path / "out.csv", target="class")
    assert failed
    assert len(read(tmp_path / "out.csv")) > len(table())


def test_a_csv_that_was_cut_in_the_middle_of_compression(tmp_path, refused):
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress(b"u,class\n" + b"1,2\n" * 500_000)[:-200])
    refused(errors.FileError, path, "Truncated compressed stream")


def test_parquet_without_columns(tmp_path, refused):
    pq.write_table(pa.table({}), tmp_path / "in.parquet")
    refused(errors.InputError, tmp_path / "in.parquet", "There is no column 'class'")
