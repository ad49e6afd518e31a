"""``python -m gpusmote.files.bench``: peak memory and speed of :func:`gpusmote.resample_file` on a generated table.

Each measurement has a process of its own, so that the system's count of its peak memory is about nothing else. What is
measured beside it is what pyarrow needs to read the same file batch by batch and write it again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

__all__ = ["main"]

_ROWS_AT_ONCE = 200_000
_RATIO = 2.0  # the minority has twice the rows afterwards


def main(arguments: list[str] | None = None) -> int:
    """Generate, copy, resample; print a line for each, and JSON at the end."""
    parser = argparse.ArgumentParser(prog="python -m gpusmote.files.bench", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of the table in memory; the file has more")
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--minority", type=float, default=0.01, help="share of the rows")
    parser.add_argument("--memory-limit", default="300MB")
    parser.add_argument("--folder", type=Path, help="where the files go; they are removed afterwards")
    parser.add_argument("--measure", choices=sorted(_MEASURED), help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.measure:
        print(json.dumps(_MEASURED[asked.measure](asked)))
        return 0
    with tempfile.TemporaryDirectory(prefix="gpusmote-bench-", dir=asked.folder) as folder:
        asked.folder = Path(folder)
        found = {name: _apart(name, asked) for name in ("generate", "copy", "resample", "copy_again")}
    copying = min(found["copy"]["seconds"], found.pop("copy_again")["seconds"])  # the machine may be busy
    megabytes = found["generate"]["file_bytes"] / 1e6
    found["copy"] |= {"seconds": copying, "megabytes_a_second": megabytes / copying}
    resampled = found["resample"]
    streaming = resampled["seconds"] - resampled["stages"]["search"]
    resampled |= {
        "megabytes_a_second": megabytes / resampled["seconds"],
        "megabytes_a_second_without_search": megabytes / streaming,
    }
    for name, result in found.items():
        print(f"{name}: " + ", ".join(f"{key} {_short(value)}" for key, value in result.items()), file=sys.stderr)
    print(json.dumps({"file_bytes": found["generate"]["file_bytes"], **found}))
    return 0


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_short(inner)}" for key, inner in value.items()) + ")"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def _apart(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One measurement in a process of its own."""
    options = {
        "--megabytes": asked.megabytes,
        "--columns": asked.columns,
        "--minority": asked.minority,
        "--memory-limit": asked.memory_limit,
        "--folder": asked.folder,
        "--measure": name,
    }
    line = [str(part) for pair in options.items() for part in pair]
    done = subprocess.run(
        [sys.executable, "-m", "gpusmote.files.bench", *line], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _peak() -> int:
    """Most bytes of memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _generate(asked: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    names = [f"x{j}" for j in range(asked.columns)]
    schema = pa.schema([*((name, pa.float64()) for name in names), ("class", pa.int8())])
    path, rows = asked.folder / "table.parquet", 0
    with pq.ParquetWriter(path, schema) as writer:
        while rows * asked.columns * 8 < asked.megabytes * 1e6:
            y = (rng.random(_ROWS_AT_ONCE) < asked.minority).astype(np.int8)
            columns = [rng.normal(size=_ROWS_AT_ONCE) + y for _ in names]
            writer.write_table(pa.Table.from_arrays([*map(pa.array, columns), pa.array(y)], schema=schema))
            rows += _ROWS_AT_ONCE
    return {"rows": rows, "file_bytes": path.stat().st_size}


def _copy(asked: argparse.Namespace) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    before, start = _peak(), time.perf_counter()
    out = asked.folder / "copy.parquet"
    with pq.ParquetFile(asked.folder / "table.parquet") as file, pq.ParquetWriter(out, file.schema_arrow) as writer:
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            writer.write_table(pa.Table.from_batches([batch]))
    seconds = time.perf_counter() - start
    out.unlink()
    return {"seconds": seconds, "peak_bytes": _peak(), "of_that_before": before}


def _resample(asked: argparse.Namespace) -> dict[str, Any]:
    import gpusmote.files.engine  # noqa: F401  (what is loaded is not what the call holds)
    from gpusmote import SMOTE
    from gpusmote.files import resample_file

    before, start = _peak(), time.perf_counter()
    report = resample_file(
        asked.folder / "table.parquet",
        asked.folder / "resampled.parquet",
        target="class",
        sampler=SMOTE(random_state=0),
        percentage=100 * (_RATIO - 1),
        memory_limit=asked.memory_limit,
    )
    seconds = time.perf_counter() - start
    (asked.folder / "resampled.parquet").unlink()
    return {
        "seconds": seconds,
        "peak_bytes": _peak(),
        "of_that_before": before,
        "estimated_bytes": report.peak_estimate,
        "memory_limit": report.memory_limit,
        "rows_held": min(report.classes_before.values()),
        "stages": report.seconds,
    }


_MEASURED = {"generate": _generate, "copy": _copy, "copy_again": _copy, "resample": _resample}


if __name__ == "__main__":
    sys.exit(main())
