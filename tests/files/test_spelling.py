"""What is spelled in a CSV file: labels keep their spelling, codes are no numbers, line ends stay in their quotes."""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
import time
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpusmote import SMOTE, errors
from gpusmote.files import resample_file
from gpusmote.files.memory import FileMemory
from tests.files.helpers import read, write


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Many blocks in every file."""
    monkeypatch.setattr(FileMemory, "group_rows", lambda memory, schema: 130)
    monkeypatch.setattr(FileMemory, "batch_rows", lambda memory, schema: 70)
    monkeypatch.setattr(FileMemory, "text_bytes", 4096)


def quoted(text):
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def written(path, classes, end="\n"):
    """A file of so many rows of each class; the labels by row."""
    labels = [label for label, rows in classes.items() for _ in range(rows)]
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal()!r},{i % 7},{quoted(label)}" for i, label in enumerate(labels)]
    path.write_bytes(end.join(["u,v,class", *rows, ""]).encode())
    return path


def labels_of(path):
    options = pa.csv.ParseOptions(newlines_in_values=True)
    types = pa.csv.ConvertOptions(column_types={"class": pa.string()})
    return pa.csv.read_csv(path, parse_options=options, convert_options=types)["class"].to_pylist()


SPELLINGS = [
    ("TRUE", "FALSE"), ("True", "False"), ("true", "false"), ("1.0", "2.0"), ("007", "501"), ("00501", "501"),
    ("+1", "-1"), ("1e3", "2e3"), ("0x1F", "0x20"), ("1", "0"), ("-0", "0"), ("NA", "Canada"), (" 1", "2"),
    (str(2**64), str(2**64 + 1)), ("10:00:00.0000001", "10:00:00.0000002"), ("2020-01-01", "99999-01-01"),
    ("late\ndelivery", "late\r\ndelivery"), ("a,b", 'a"b'), ("1_0", "\u0663"), ("1.", "2."),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*spells the same value:gpusmote.errors.GpusmoteWarning")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("usual", "rare"), SPELLINGS)
def test_a_synthetic_row_has_its_class_as_the_file_spells_it(tmp_path, usual, rare, end):
    source = written(tmp_path / "in.csv", {usual: 80, rare: 20}, end)
    for out in ("out.csv", "out.tsv", "out.parquet"):
        report = resample_file(source, tmp_path / out, target="class", sampler=SMOTE(random_state=0))
        assert sorted(report.classes_after.values()) == [80, 80]
    assert (tmp_path / "out.csv").read_bytes().startswith(source.read_bytes())
    assert labels_of(tmp_path / "out.csv") == [usual] * 80 + [rare] * 80
    new = (tmp_path / "out.csv").read_bytes()[len(source.read_bytes()) :].decode()
    assert new.endswith(end)
    assert new.replace(quoted(rare), "").count(end) == 60
    assert not new.replace(quoted(rare), "").replace(end, "").count("\n" if end == "\r" else "\r")


label = st.one_of(
    st.integers(-(2**66), 2**66).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: str(np.rint(value))),
    st.sampled_from(["TRUE", "true", "False", "1", "1.0", "01", "1e0", "+1", "0x1", "NA", "nan", "2020-01-01", "inf"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6),
)


def may_be_refused(label):
    """Whether a label is a missing value, infinite or a fraction, if the other labels are numbers."""
    if label in pa.csv.ConvertOptions().null_values:
        return True
    try:
        return not float(label).is_integer()
    except (OverflowError, ValueError):  # infinite in Python; not a number
        return label.strip().lower().lstrip("+-") in ("inf", "infinity")


@given(st.lists(label, min_size=2, max_size=4, unique=True), st.sampled_from(["\n", "\r\n"]))
@example(["1", "NaN"], "\n")
@example(["1", "0.5", "null"], "\n")
@settings(max_examples=60, deadline=None)
def test_any_spelling_is_a_class_of_its_own(tmp_path_factory, labels, end):
    folder = tmp_path_factory.mktemp("labels")
    classes = {label: 12 + 3 * i for i, label in enumerate(labels)}
    source = written(folder / "in.csv", classes, end)
    refusals = errors.InputError if any(map(may_be_refused, labels)) else ()
    with warnings.catch_warnings(), contextlib.suppress(refusals):
        warnings.simplefilter("ignore", errors.GpusmoteWarning)
        resample_file(source, folder / "out.csv", target="class", sampler=SMOTE(random_state=0))
    if refusals and not (folder / "out.csv").exists():
        return
    made = [label for label in labels for _ in range(max(classes.values()) - classes[label])]
    assert sorted(labels_of(folder / "out.csv")) == sorted([*labels_of(source), *made])


@pytest.mark.parametrize("spelled", [str, "{:.1f}".format, "{:03d}".format, "+{}".format, " {}".format, "{:#x}".format])
def test_numbers_are_sorted_as_numbers_so_that_a_seed_keeps_its_rows(tmp_path, spelled):
    """The stream of a class hangs on its position."""
    rows = []
    for how in (str, spelled):
        names = [how(number) for number in (1, 2, 10)]
        source = written(tmp_path / "in.csv", dict(zip(names, (60, 20, 30), strict=True)))
        report = resample_file(
            source, tmp_path / "out.parquet", target="class", sampler=SMOTE(random_state=0), force=True
        )
        assert [str(label) for label in report.classes_before] == names
        rows.append(read(tmp_path / "out.parquet").drop_columns(["class"]))
    assert rows[0].equals(rows[1])


@pytest.mark.parametrize(
    ("spellings", "kind"),
    [(["0", "1"], int), (["false", "true"], bool), (["FALSE", "TRUE"], str), (["01", "02"], str), (["a", "b"], str)],
)
def test_labels_are_numbers_where_those_are_written_as_they_are_spelled(tmp_path, spellings, kind):
    source = written(tmp_path / "in.csv", {spellings[0]: 30, spellings[1]: 10})
    strategy = {{"0": 0, "1": 1, "false": False, "true": True}.get(label, label): 30 for label in spellings}
    sampler = SMOTE(random_state=0, sampling_strategy=strategy)
    report = resample_file(source, tmp_path / "out.csv", target="class", sampler=sampler)
    assert report.classes_after == strategy
    assert {type(label) for label in report.classes_after} == {kind}


@pytest.mark.parametrize(
    ("one", "other"), [("1", "1.0"), ("TRUE", "true"), ("007", "7"), ("1e3", "1000"), ("0x1f", "31")]
)
def test_two_spellings_of_one_value_are_told(tmp_path, one, other):
    source = written(tmp_path / "in.csv", {one: 30, other: 10, "5": 20})
    with pytest.warns(errors.GpusmoteWarning, match=f"'class' spells the same value.*{sorted([one, other])[0]}"):
        report = resample_file(source, tmp_path / "out.csv", target="class", sampler=SMOTE(random_state=0))
    assert report.classes_after == {one: 30, other: 30, "5": 30}


@pytest.mark.parametrize("label", ["", "NA", "nan", "NaN", "null", "0.5", "inf"])
def test_what_is_no_class_among_numbers(tmp_path, label):
    source = written(tmp_path / "in.csv", {"1": 200, label: 7, "2": 70})
    with pytest.raises(errors.InputError, match=r"in\.csv: Column 'class' holds .* in row 200 "):
        resample_file(source, tmp_path / "out.csv", target="class")


FEATURES = {
    "+7": pa.float64(), "1.50": pa.float64(), "1e3": pa.float64(), " 7 ": pa.int64(), "-7": pa.int64(), "0": pa.int64(),
    "true": pa.bool_(), "FALSE": pa.bool_(), "0.5": pa.float64(), "00.5": pa.float64(), str(2**70): pa.float64(),
}  # fmt: skip


@pytest.mark.parametrize("value", FEATURES)
@pytest.mark.parametrize("at", [0, 999])
def test_features_that_are_numbers(tmp_path, value, at):
    """The first type that all values have, wherever the odd one is."""
    usual = "1"
    values = [usual] * 1000
    values[at] = value
    rows = [f"{value},{i}.5,{i % 3 // 2}" for i, value in enumerate(values)]
    (tmp_path / "in.csv").write_text("\n".join(["u,v,class", *rows]))
    resample_file(tmp_path / "in.csv", tmp_path / "out.parquet", target="class", sampler=SMOTE(random_state=0))
    out = read(tmp_path / "out.parquet")["u"]
    plain = pa.csv.read_csv(tmp_path / "in.csv")["u"]
    assert out.type == plain.type == FEATURES[value]
    assert out[:1000].equals(plain)


@pytest.mark.parametrize("code", ["007", "00", "0x1F", "00501"])
@pytest.mark.parametrize("at", [0, 999])
@pytest.mark.parametrize("to", [".csv", ".parquet"])
def test_features_that_are_codes_are_refused_by_name(tmp_path, code, at, to):
    values = ["1"] * 1000
    values[at] = code
    rows = [f"{value},{i}.5,{i % 3 // 2}" for i, value in enumerate(values)]
    (tmp_path / "in.csv").write_text("\n".join(["zip,v,class", *rows]))
    with pytest.raises(errors.InputTypeError, match="'zip'") as caught:
        resample_file(tmp_path / "in.csv", tmp_path / f"out{to}", target="class")
    assert "pandas.read_csv('in.csv', dtype=str).drop(columns=['zip'])" in caught.value.hint or "0x" in code


@pytest.mark.parametrize("form", [".tsv", ".tsv.gz", ".tsv.zst", ".csv"])
def test_files_of_tabs(tmp_path, form):
    plain = written(tmp_path / "plain.csv", {"a,b": 60, "c\td": 20})
    table = pa.csv.read_csv(plain)
    source = tmp_path / f"in{form}"
    with pa.output_stream(str(source), compression="detect") as out:
        pa.csv.write_csv(table, out, pa.csv.WriteOptions(delimiter="," if form == ".csv" else "\t"))
    for to in (".tsv", ".parquet", ".csv"):
        resample_file(source, tmp_path / f"out{to}", target="class", sampler=SMOTE(random_state=0), force=True)
    wanted = read(tmp_path / "out.parquet")
    assert wanted["class"].to_pylist().count("c\td") == 60
    for to, mark in ((".tsv", "\t"), (".csv", ",")):
        found = pa.csv.read_csv(tmp_path / f"out{to}", parse_options=pa.csv.ParseOptions(delimiter=mark))
        assert found.equals(wanted)


def test_commas_in_a_file_of_tabs(tmp_path):
    written(tmp_path / "in.tsv", {"a": 60, "b": 20})
    with pytest.raises(errors.FileError, match="separates its columns by ',', not by tabs"):
        resample_file(tmp_path / "in.tsv", tmp_path / "out.tsv", target="class")


@pytest.mark.parametrize("to", [".parquet", ".arrow"])
def test_dates_are_classes(tmp_path, to):
    labels = pa.array([datetime.date(2020, 1, 1)] * 60 + [datetime.date(2020, 1, 2)] * 20)
    pq.write_table(pa.table({"u": np.arange(80.0), "class": labels}), tmp_path / "in.parquet")
    report = resample_file(tmp_path / "in.parquet", tmp_path / f"out{to}", target="class")
    assert read(tmp_path / f"out{to}")["class"].to_pylist() == labels.to_pylist() + labels.to_pylist()[-1:] * 40
    assert [row["label"] for row in report.to_dict()["classes"]] == ["2020-01-01", "2020-01-02"]


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([2932897] * 60 + [2932898] * 20, pa.int32()).view(pa.date32()),
        pa.array([1] * 60 + [2] * 20, pa.int64()).view(pa.time64("ns")),
        pa.array([2**61] * 60 + [2**61 + 1] * 20, pa.int64()).view(pa.timestamp("us")),
    ],
    ids=["date", "time", "timestamp"],
)
def test_dates_and_times_that_python_cannot_represent(tmp_path, labels):
    pq.write_table(pa.table({"u": np.arange(80.0), "class": labels}), tmp_path / "in.parquet")
    with pytest.raises(errors.InputTypeError, match=r"Column 'class' is of type .* cannot be classes"):
        resample_file(tmp_path / "in.parquet", tmp_path / "out.parquet", target="class")


@pytest.mark.parametrize("form", [".csv", ".parquet", ".arrow"])
def test_names_of_files_that_are_not_utf8(tmp_path, form):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    plain = read(written(tmp_path / "plain.csv", {"a": 60, "b": 20}))
    write(plain, tmp_path / f"plain{form}").rename(folder / f"in{form}")
    for to in (".csv", ".parquet", ".arrow"):
        out = folder / os.fsdecode(b"\xe9") / f"out{to}"
        out.parent.mkdir(exist_ok=True)
        report = resample_file(folder / f"in{form}", out, target="class", sampler=SMOTE(random_state=0))
        assert out.exists()
        assert report.rows_after == 120


def test_the_temporary_file_has_no_name_and_goes_with_the_run(tmp_path, monkeypatch):
    made = []
    keep = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **how: made.append((how["dir"], keep(**how))) or made[-1][1])
    source = written(tmp_path / "in.csv", {"a": 600, "b": 200})
    (tmp_path / "to").mkdir()

    def stop(stage, done, total):
        assert not [name for name in os.listdir(tmp_path / "to") if not name.endswith(".part")]
        if stage == stage_to_stop:
            raise KeyboardInterrupt

    for stage_to_stop in ("scan", "read", "search", "copy", "make"):  # noqa: B007 (read by stop)
        with pytest.raises(KeyboardInterrupt):
            resample_file(source, tmp_path / "to" / "out.csv", target="class", progress=stop)
        assert os.listdir(tmp_path / "to") == []
    assert len(made) == 5
    assert all(folder == tmp_path / "to" and file.closed for folder, file in made)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_is_told_while_the_file_is_converted(tmp_path, monkeypatch):
    full = [open("/dev/full", "w+b", buffering=0)]  # noqa: SIM115 (the run closes it)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **how: full[0])
    with pytest.raises(errors.FileError, match="the disk is full"):
        resample_file(written(tmp_path / "in.csv", {"a": 600, "b": 200}), tmp_path / "out.csv", target="class")
    assert full[0].closed
    assert os.listdir(tmp_path) == ["in.csv"]


@pytest.mark.parametrize("error", [pa.ArrowCapacityError, pa.ArrowMemoryError, pa.ArrowNotImplementedError])
def test_what_pyarrow_raises_is_told_in_our_words(tmp_path, monkeypatch, error):
    def fails(*_, **__):
        raise error("too much")

    monkeypatch.setattr(pa.csv, "open_csv", fails)
    with pytest.raises(errors.GpusmoteError, match=r"in\.csv"):
        resample_file(written(tmp_path / "in.csv", {"a": 60, "b": 20}), tmp_path / "out.csv", target="class")


@pytest.mark.parametrize("odd", ["last row", "name", "id"])
def test_small_files_that_took_minutes(tmp_path, monkeypatch, odd):
    """Nothing grows with the square of columns or classes: each took 30 s or more, and takes about 1 s."""
    monkeypatch.setattr(FileMemory, "text_bytes", 1 << 20)
    if odd == "id":
        lines = ["u,class", *(f"{i},u{i}" for i in range(100_000)), "1,u5"]
    else:
        n = 400 if odd == "last row" else 20_000
        names = [f"x{j}" for j in range(n - 1)] + ["x0" if odd == "name" else "last", "class"]
        many = [",".join(["1"] * n + ["a"])] * (2000 if n == 400 else 3)
        lines = [",".join(names), *many, ",".join(["1.5"] * n + ["b"])]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    began = time.process_time()
    with pytest.raises(errors.InputError, match=r"in\.csv: (Class '(b|u0)' has 1 row|'x0' names more than one column)"):
        resample_file(tmp_path / "in.csv", tmp_path / "out.csv", target="class")
    assert time.process_time() - began < 20


def test_many_columns(tmp_path, monkeypatch):
    """20,000 columns took 15 s of processor time, and take 6 s: nothing is repeated for each column and batch."""
    monkeypatch.setattr(FileMemory, "text_bytes", 1 << 20)
    n = 20_000
    values = np.random.default_rng(0).normal(size=(20, n)).round(3).astype(str)
    values[:, ::2] = "7"
    rows = [",".join([*row, "ab"[i % 3 == 0]]) for i, row in enumerate(values)]
    (tmp_path / "in.csv").write_text("\n".join([",".join([*(f"x{j}" for j in range(n)), "class"]), *rows]))
    began = time.process_time()
    report = resample_file(tmp_path / "in.csv", tmp_path / "out.csv", target="class", sampler=SMOTE(random_state=0))
    assert (report.n_features, report.n_synthetic) == (n, 6)
    assert time.process_time() - began < 30
