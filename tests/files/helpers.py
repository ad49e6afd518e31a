"""Tables on disk, and what the interface in memory makes of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from gpusmote import SMOTE

FORMS = [".csv", ".csv.gz", ".csv.zst", ".parquet", ".arrow", ".feather"]


def table(n=900, seed=0, labels=("no", "yes", "maybe"), d=4):
    """Three classes in no order, columns of several types, the target in the middle."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(labels), n, p=[0.8, 0.12, 0.08][: len(labels)] if len(labels) == 3 else None)
    columns = {f"x{j}": rng.normal(size=n) + y for j in range(d)}
    columns["count"] = rng.poisson(5, n)
    columns["class"] = np.array(labels)[y]
    columns["flag"] = rng.random(n) < 0.3
    columns["small"] = rng.normal(size=n).astype(np.float32)
    return pa.table(columns)


def write(data, path, **options):
    """To the form that the path's ending tells; in several row groups or record batches."""
    name = str(path)
    if ".csv" in name:
        with pa.output_stream(name, compression="detect") as out:
            pa.csv.write_csv(data, out)
    elif name.endswith(".parquet"):
        pq.write_table(data, name, row_group_size=options.pop("row_group_size", 250), **options)
    else:
        with pa.ipc.new_file(name, data.schema) as out:
            out.write_table(data, max_chunksize=options.pop("row_group_size", 250))
    return path


def read(path):
    """The whole table."""
    name = str(path)
    if ".csv" in name:
        return pa.csv.read_csv(name)
    return pq.read_table(name) if name.endswith(".parquet") else pa.feather.read_table(name, memory_map=False)


def in_memory(data, target="class", sampler=None):
    """The same table, resampled by the interface for tables in memory."""
    sampler = SMOTE(random_state=0) if sampler is None else sampler
    at = data.column_names.index(target)
    X, y = sampler.fit_resample(data.drop_columns([target]), data[target])
    return X.add_column(at, data.schema.field(at), y)


def assert_same(found, expected):
    """Equal to the bit, with schema and metadata."""
    assert found.schema.equals(expected.schema, check_metadata=True)
    assert len(found) == len(expected)
    for name in expected.column_names:
        one, other = (t[name].combine_chunks() for t in (found, expected))
        if pa.types.is_floating(one.type):
            one, other = (a.to_numpy().tobytes() for a in (one, other))
            assert one == other, name
        else:
            assert one.equals(other), name
