"""From file to file, the rows are those that the interface in memory gives."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote import ADASYN, SMOTE, BorderlineSMOTE
from gpusmote.files import resample_file
from gpusmote.files.memory import FileMemory
from tests.files.helpers import FORMS, assert_same, in_memory, read, table, write
from tests.standin.install import stand_in


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of some dozens of rows, so that every file has many."""
    monkeypatch.setattr(FileMemory, "group_rows", lambda memory, schema: 130)
    monkeypatch.setattr(FileMemory, "batch_rows", lambda memory, schema: 70)
    monkeypatch.setattr(FileMemory, "text_bytes", 4096)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "sampler", [SMOTE(random_state=3), BorderlineSMOTE(random_state=3, kind="borderline-2"), ADASYN(random_state=3)]
)
def test_rows_are_those_of_the_table_in_memory(tmp_path, form, sampler):
    source = write(table(), tmp_path / f"in{form}")
    report = resample_file(source, tmp_path / f"out{form}", target="class", sampler=sampler)
    expected = in_memory(read(source), sampler=sampler)
    assert_same(read(tmp_path / f"out{form}"), expected)
    assert report.rows_after == len(expected)
    assert report.classes_after == dict(zip(*np.unique(expected["class"], return_counts=True), strict=True))


@pytest.mark.parametrize("to", FORMS)
def test_from_each_form_to_each(tmp_path, to):
    expected = in_memory(table())
    for form in FORMS:
        source = write(table(), tmp_path / f"in{form}")
        resample_file(source, tmp_path / f"out{to}", target="class", sampler=SMOTE(random_state=0), force=True)
        found = read(tmp_path / f"out{to}")
        wanted = in_memory(read(source)) if ".csv" in form else expected  # text knows no float32
        assert_same(found, read(write(wanted, tmp_path / f"wanted{to}")))


def test_many_classes(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(300), np.arange(10, 310)))
    data = pa.table({"a": rng.normal(size=len(labels)), "b": rng.normal(size=len(labels)), "class": labels})
    source = write(data, tmp_path / "in.parquet")
    resample_file(source, tmp_path / "out.parquet", target="class", sampler=SMOTE(random_state=0))
    assert_same(read(tmp_path / "out.parquet"), in_memory(data))


@pytest.mark.parametrize("bits", ["philox", "mt19937"])
def test_every_way_of_drawing(tmp_path, bits):
    source = write(table(), tmp_path / "in.parquet")
    sampler = SMOTE(random_state=5, bit_generator=bits)
    resample_file(source, tmp_path / "out.parquet", target="class", sampler=sampler)
    assert_same(read(tmp_path / "out.parquet"), in_memory(table(), sampler=sampler))


def test_single_precision_stays_single(tmp_path):
    data = table().select(["small", "class"]).append_column("more", table(seed=1)["small"])
    source = write(data, tmp_path / "in.parquet")
    resample_file(source, tmp_path / "out.parquet", target="class", sampler=SMOTE(random_state=0))
    assert_same(read(tmp_path / "out.parquet"), in_memory(data))


@pytest.mark.parametrize("form", [".parquet", ".arrow"])
def test_metadata_and_categories_of_pandas_come_back(tmp_path, form):
    frame = table().to_pandas()
    frame["class"] = pd.Categorical(frame["class"], categories=["yes", "never", "maybe", "no"], ordered=True)
    frame["whole"] = pd.array(np.arange(len(frame)) % 7, dtype="Int16")
    data = pa.Table.from_pandas(frame)
    source = write(data, tmp_path / f"in{form}")
    resample_file(source, tmp_path / f"out{form}", target="class", sampler=SMOTE(random_state=0))
    found = read(tmp_path / f"out{form}")
    assert found.schema.equals(read(source).schema, check_metadata=True)
    back, first = found.to_pandas(), read(source).to_pandas()
    assert back.dtypes.equals(first.dtypes)
    assert back["class"].cat.categories.tolist() == ["yes", "never", "maybe", "no"]
    pd.testing.assert_frame_equal(back.iloc[: len(first)], first)
    expected = in_memory(data.set_column(5, "class", pa.array(frame["class"].astype(str))))
    assert back["class"].astype(str).tolist() == expected["class"].to_pylist()
    assert back["x0"].tolist() == expected["x0"].to_pylist()


def test_categories_that_differ_from_row_group_to_row_group(tmp_path):
    parts = [table(200, seed=i) for i in range(3)]
    parts = [part.set_column(5, "class", part["class"].combine_chunks().dictionary_encode()) for part in parts]
    with pq.ParquetWriter(tmp_path / "in.parquet", parts[0].schema) as writer:
        for part in parts:
            writer.write_table(part)
    resample_file(tmp_path / "in.parquet", tmp_path / "out.arrow", target="class", sampler=SMOTE(random_state=0))
    plain = pa.concat_tables([table(200, seed=i) for i in range(3)])
    assert read(tmp_path / "out.arrow")["class"].cast(pa.string()).equals(in_memory(plain)["class"])


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.bool_(), pa.float32(), pa.large_string(), pa.date32()])
def test_labels_of_any_type(tmp_path, kind):
    codes = table(labels=("0", "1"))["class"].cast(pa.int32())
    labels = codes.cast(pa.string()).cast(kind) if kind != pa.date32() else codes.cast(kind)
    data = table().set_column(5, pa.field("class", kind), labels)
    source = write(data, tmp_path / "in.parquet")
    report = resample_file(source, tmp_path / "out.parquet", target="class", sampler=SMOTE(random_state=0))
    assert_same(read(tmp_path / "out.parquet"), in_memory(data))
    json.dumps(report.to_dict())


def test_compression_of_the_source_is_kept(tmp_path):
    source = write(table(), tmp_path / "in.parquet", compression="zstd")
    resample_file(source, tmp_path / "out.parquet", target="class")
    assert pq.ParquetFile(tmp_path / "out.parquet").metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_text_of_csv_originals_is_kept_byte_for_byte(tmp_path, end, last):
    rows = [f"{i}.50,{'a b' if i % 5 else 'q'},{i}e-1" for i in range(60)]
    text = end.join(["u,class,v", *rows]) + (end if last else "")
    (tmp_path / "in.csv").write_bytes(text.encode())
    resample_file(tmp_path / "in.csv", tmp_path / "out.csv", target="class", sampler=SMOTE(random_state=0))
    out = (tmp_path / "out.csv").read_bytes().decode()
    assert out.startswith(text)
    assert out.endswith(end)
    assert out.count("\n") == 1 + 96
    assert out.count("\r\n") == (97 if end == "\r\n" else 0)
    assert_same(read(tmp_path / "out.csv"), in_memory(read(tmp_path / "in.csv")))


def test_labels_that_need_quotes(tmp_path):
    data = table(labels=('a,"b"', "c\nd", "e"))
    source = write(data, tmp_path / "in.csv")
    resample_file(source, tmp_path / "out.csv", target="class", sampler=SMOTE(random_state=0))
    options = pa.csv.ParseOptions(newlines_in_values=True)
    found, first = (pa.csv.read_csv(path, parse_options=options) for path in (tmp_path / "out.csv", source))
    assert_same(found, in_memory(first))


VALUES = st.sampled_from(["0", "1", "2", "-7", "0.5", "1e3", "true", "", "nan", "abc", "2020-01-01", " 3", "+4"])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.lists(VALUES, min_size=1, max_size=3), min_size=1, max_size=4))
def test_types_of_csv_are_those_of_reading_it_whole(tmp_path_factory, runs):
    """Columns whose values change their kind somewhere in the file, far behind the first block."""
    from gpusmote.files.csv_source import CsvSource
    from gpusmote.files.formats import form_of

    path = tmp_path_factory.mktemp("types") / "in.csv"
    values = [value for run in runs for value in run * 300]
    path.write_text("u,class\n" + "".join(f"{value},{i % 2}\n" for i, value in enumerate(values)))
    source = CsvSource(path, form_of(path), 2048)
    source.convert("class", path, lambda done: None)
    expected = pa.csv.read_csv(path).schema.field("u").type
    numeric = pa.types.is_integer(expected) or pa.types.is_floating(expected) or pa.types.is_boolean(expected)
    assert source.schema.field("u").type == (expected if numeric or pa.types.is_null(expected) else pa.string())
    source.close()


def test_only_synthetic_rows_and_their_origins(tmp_path):
    source = write(table(), tmp_path / "in.parquet")
    sampler = SMOTE(random_state=2)
    options = {"target": "class", "sampler": sampler}
    resample_file(source, tmp_path / "all.parquet", **options)
    for to in (".parquet", ".csv"):
        out, origins = tmp_path / f"new{to}", tmp_path / f"origins{to}"
        report = resample_file(source, out, only_synthetic=True, origins=origins, **options)
        found, whole, origin = read(out), read(tmp_path / "all.parquet"), read(origins)
        assert found["x0"].equals(whole["x0"][len(table()) :])
        assert report.rows_after == report.n_synthetic == len(origin) == len(found)
        assert origin.column_names == ["class", "base", "neighbor", "gap"]
        x = table()["x0"].to_numpy()
        base, neighbor, gap = (origin[name].to_numpy() for name in ("base", "neighbor", "gap"))
        assert (base.max() > 800, (found["x0"].to_numpy() == x[base] + gap * (x[neighbor] - x[base])).all()) == (
            True,
            True,
        )
        assert origin["class"].equals(found["class"])


@pytest.mark.parametrize(("amount", "made"), [({"percentage": 150}, 150), ({"dup_size": 3}, 300)])
def test_amounts(tmp_path, amount, made):
    data = pa.table({"x": np.arange(1000.0), "y": np.arange(1000) % 10 == 0})
    source = write(data, tmp_path / "in.parquet")
    report = resample_file(source, tmp_path / "out.parquet", target="y", sampler=SMOTE(random_state=1), **amount)
    assert report.classes_after == {False: 900, True: 100 + made}
    assert_same(
        read(tmp_path / "out.parquet"),
        in_memory(data, "y", SMOTE(random_state=1, sampling_strategy={True: 100 + made})),
    )


@pytest.mark.parametrize("sampler", [SMOTE, BorderlineSMOTE, ADASYN])
def test_rows_are_those_of_a_device(tmp_path, monkeypatch, sampler):
    source = write(table(), tmp_path / "in.parquet")
    expected = in_memory(table(), sampler=sampler(random_state=0, device="cpu"))
    stand_in(monkeypatch)()
    on_device = sampler(random_state=0, device="cuda")
    report = resample_file(source, tmp_path / "out.parquet", target="class", sampler=on_device)
    assert report.device == "cuda:0"
    assert_same(read(tmp_path / "out.parquet"), expected)


def test_columns_of_odd_names(tmp_path):
    names = ["a.b", "", "a", "0", "list.item", "class", "ü\n", "'"]
    data = table().rename_columns(names)
    for form in (".parquet", ".arrow"):
        source = write(data, tmp_path / f"in{form}")
        resample_file(source, tmp_path / f"out{form}", target="class", sampler=SMOTE(random_state=0))
        assert_same(read(tmp_path / f"out{form}"), in_memory(data))


def test_nothing_to_make_is_a_copy(tmp_path):
    data = pa.table({"x": np.arange(100.0), "y": np.arange(100) % 2})
    source = write(data, tmp_path / "in.parquet")
    report = resample_file(source, tmp_path / "out.parquet", target="y")
    assert_same(read(tmp_path / "out.parquet"), data)
    assert report.n_synthetic == 0


def test_the_sampler_of_the_caller_is_not_changed_and_its_generator_goes_on(tmp_path):
    source = write(table(labels=("a", "b")), tmp_path / "in.parquet")
    sampler = SMOTE(random_state=np.random.RandomState(0))
    before = sampler.get_params()
    for name in ("one", "two"):
        resample_file(source, tmp_path / f"{name}.parquet", target="class", sampler=sampler, dup_size=1)
    assert sampler.get_params() == before
    assert not read(tmp_path / "one.parquet").equals(read(tmp_path / "two.parquet"))


def test_progress_and_report(tmp_path):
    source = write(table(), tmp_path / "in.csv.gz")
    seen = []
    report = resample_file(
        source,
        tmp_path / "out.parquet",
        target="class",
        memory_limit="100MB",
        progress=lambda *state: seen.append(state),
    )
    stages = list(dict.fromkeys(stage for stage, _, _ in seen))
    assert stages == ["scan", "read", "search", "copy", "make"]
    for stage in stages:
        done = [(at, total) for name, at, total in seen if name == stage]
        assert done == sorted(done)
        assert done[-1][0] == done[-1][1]
    largest = max(report.classes_before.values())
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["classes"][0] == {"label": "maybe", "before": report.classes_before["maybe"], "after": largest}
    assert set(plain["seconds"]) == {"scan", "read", "search", "copy", "make", "publish"}
    assert plain["memory_limit"] == 100_000_000
    assert plain["bytes_read"] == source.stat().st_size
    assert plain["bytes_written"] == (tmp_path / "out.parquet").stat().st_size
    assert plain["versions"]["pyarrow"] == pa.__version__
