"""The exact search against bare FAISS, what the certificate costs, FAISS in fewer bits and from more threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from proof import tables
from proof.limits import product_rate
from proof.run import Run

__all__ = ["bare", "certificate", "precision", "search"]

K, LIST = 5, 32
GOAL = 1.10
TURN = 4.0
"""Seconds that one search may take: so many queries are asked that it does not take more."""


def bare(faiss: Any, cupy: Any, rows: Any, queries: Any, resources: Any, kind: str = "F32") -> tuple[Any, Any]:
    """FAISS's own brute force over device pointers, on the current stream, with nothing around it.

    Returns
    -------
    indices : array of shape (m, 32), int64
    distances : array of shape (m, 32), float32
    """
    indices = cupy.empty((len(queries), LIST), np.int64)
    distances = cupy.empty((len(queries), LIST), np.float32)
    arguments = faiss.GpuDistanceParams()
    arguments.metric, arguments.k, arguments.dims = faiss.METRIC_L2, LIST, rows.shape[1]
    arguments.vectors = faiss.cast_integer_to_void_ptr(rows.data.ptr)
    arguments.queries = faiss.cast_integer_to_void_ptr(queries.data.ptr)
    arguments.vectorType = arguments.queryType = getattr(faiss, f"DistanceDataType_{kind}")
    arguments.vectorsRowMajor = arguments.queriesRowMajor = True
    arguments.numVectors, arguments.numQueries = len(rows), len(queries)
    arguments.outDistances = faiss.cast_integer_to_float_ptr(distances.data.ptr)
    arguments.outIndices = faiss.cast_integer_to_void_ptr(indices.data.ptr)
    arguments.outIndicesType = faiss.IndicesDataType_I64
    arguments.device, arguments.use_cuvs = int(cupy.cuda.Device().id), False
    stream = int(cupy.cuda.get_current_stream().ptr)
    resources.setDefaultStream(arguments.device, faiss.cast_integer_to_cudastream_t(stream))
    faiss.bfKnn(resources, arguments)
    return indices, distances


def search(run: Run) -> None:
    """Bare FAISS against the certified search end to end, from rows on the device to neighbours on the device."""
    faiss = run.faiss()
    rate = product_rate(run)
    run.note(f"Limit: 2 d operations a pair at the {rate / 1e12:.1f} TFLOP/s of a float32 product in this step.")
    resources = faiss.StandardGpuResources() if faiss is not None else None
    for n, d in ((100_000, 32), (1_000_000, 64)):
        n = run.size(n, 400)
        values = run.xp.asarray(tables.rows(run.rng, n, d))
        find = _ours(run, values)
        asked = _as_many_as_fit(run, n, find)
        seconds, report = _timed(run, find, asked)
        run.result(
            **{"rows": n, "d": d, "queries": len(asked), "what": "gpusmote, certified"},
            seconds=seconds,
            limit_s=2.0 * d * n * len(asked) / rate,
            first_pass=report.certified_first / report.queries,
        )
        _sample_is_right(run, values, asked, find)
        if faiss is None:
            continue
        queries = values[asked]
        taken = run.clock.device(lambda v=values, q=queries: bare(faiss, run.xp, v, q, resources), 3, 2 * TURN)
        run.result(**{"rows": n, "d": d, "queries": len(asked), "what": "FAISS bfKnn, bare"}, seconds=taken.median)
        run.goal(f"{n:,} x {d}: gpusmote's seconds over FAISS's", seconds / taken.median, GOAL, at_least=False)


def _ours(run: Run, values: Any) -> Callable[[Any], tuple[Any, Any]]:
    from gpusmote.neighbours import Neighbourhood, SearchReport

    def find(asked: Any) -> tuple[Any, Any]:
        report = SearchReport()
        return Neighbourhood(run.backend, values, report).nearest(asked, K), report

    return find


def _as_many_as_fit(run: Run, n: int, find: Callable[[Any], Any]) -> Any:
    """Rows to ask for: all, or as many as take about four seconds."""
    some = run.xp.asarray(run.rng.permutation(n)[: max(64, n // 50)])
    pace = run.clock.wall(lambda: find(some), turns=1).median / len(some)
    number = min(n, max(len(some), int(min(TURN, run.left() / 8) / pace)))
    return run.xp.arange(n) if number == n else run.xp.asarray(np.sort(run.rng.permutation(n)[:number]))


def _timed(run: Run, find: Callable[[Any], Any], asked: Any) -> tuple[float, Any]:
    kept: list[Any] = []

    def work() -> None:
        kept[:] = [find(asked)[1]]

    return run.clock.wall(work, turns=3, longest=2 * TURN, warm=False).median, kept[0]


def _sample_is_right(run: Run, values: Any, asked: Any, find: Callable[[Any], Any]) -> None:
    """Against every distance in float64, on the host, for a few queries."""
    some = asked[:: max(1, len(asked) // 8)][:8]
    columns, wanted = np.ascontiguousarray(values.get().T), some.get()
    held = True
    for query, near in zip(wanted, find(some)[0].get(), strict=True):
        total = np.zeros(columns.shape[1])
        for column in columns:  # in the order that the promise names
            total += np.subtract(column, column[query], dtype=np.float64) ** 2
        total[query] = np.inf
        held &= bool((np.argsort(total, kind="stable")[:K] == near).all())
    run.check(f"{len(values):,} x {len(columns)}: neighbours of {len(wanted)} rows equal brute force", held)


def certificate(run: Run) -> None:
    """How many queries each pass is certain of, and what it takes, by kind of data."""
    run.faiss()
    for kind in tables.KINDS:
        n, d = run.size(100_000, 300), run.size(32, 6)
        if kind == "whole numbers":
            d = 4  # where equal distances abound
        values = run.xp.asarray(tables.rows(run.rng, n, d, np.float32, kind))
        find = _ours(run, values)
        asked = _as_many_as_fit(run, n, find)
        seconds, report = _timed(run, find, asked)
        run.result(
            **{"data": kind, "rows": n, "d": d, "queries": report.queries, "seconds": seconds},
            first_pass=report.certified_first / report.queries,
            float64_pass=report.certified_second / report.queries,
            last_pass=report.certified_last / report.queries,
        )
        every = report.certified_first + report.certified_second + report.certified_last
        run.check(f"{kind}: every query is certified by some pass", every == report.queries == len(asked))


def precision(run: Run) -> None:
    """bfKnn on the same rows in float32, float16 and bfloat16, then in float32 from several threads."""
    faiss = run.faiss()
    if faiss is None:
        run.not_here("FAISS with GPU support is what this step is about.")
        return
    n, d = run.size(1_000_000, 400), 64
    rows32 = run.xp.asarray(tables.rows(run.rng, n, d))
    m = min(n, 100_000)
    resources, lists = faiss.StandardGpuResources(), {}
    for kind, rows in (("F32", rows32), ("F16", rows32.astype(np.float16)), ("BF16", _bfloat16(run.xp, rows32))):
        taken = run.clock.device(
            lambda kind=kind, rows=rows: lists.update({kind: bare(faiss, run.xp, rows, rows[:m], resources, kind)[0]}),
            3,
            TURN,
        )
        recall = _recall(lists[kind].get(), lists["F32"].get())
        run.result(what=kind, threads=1, rows=n, d=d, queries=m, seconds=taken.median, recall_of_6=recall)
        run.check(f"{kind}: most of the nearest rows are found", recall > 0.9, f"{recall:.3f}")
    for threads in (1, 2, 4):
        seconds = run.clock.wall(_from_threads(run, faiss, rows32, m, threads), 3, TURN).median
        run.result(what="F32", threads=threads, rows=n, d=d, queries=m, seconds=seconds)


def _bfloat16(xp: Any, values: Any) -> Any:
    """The upper halves of float32 numbers, rounded to even: CuPy has no such dtype, FAISS wants only the bits."""
    bits = values.view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)


def _recall(found: np.ndarray, expected: np.ndarray) -> float:
    """Share of the six nearest, the query itself among them, that the list of 32 holds."""
    some = slice(0, 2000)
    return float((found[some, None, :] == expected[some, :6, None]).any(axis=2).mean())


def _from_threads(run: Run, faiss: Any, rows: Any, m: int, threads: int) -> Callable[[], None]:
    """One search cut among threads, each with its own resources and stream."""
    own = [(faiss.StandardGpuResources(), run.xp.cuda.Stream(non_blocking=True)) for _ in range(threads)]
    edges = [m * i // threads for i in range(threads + 1)]
    run.xp.cuda.get_current_stream().synchronize()

    def part(number: int) -> None:
        resources, stream = own[number]
        with run.xp.cuda.Device(0), stream:
            bare(faiss, run.xp, rows, rows[edges[number] : edges[number + 1]], resources)
            stream.synchronize()

    def work() -> None:
        workers = [threading.Thread(target=part, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return work
