"""The function for files. pyarrow and the modules that use it are imported when it is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from gpusmote.config import MemoryLimit
from gpusmote.errors import MissingPackageError
from gpusmote.files.report import FileReport

__all__ = ["Progress", "resample_file"]

Path = str | os.PathLike[str]
Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``; see :func:`resample_file`."""


def resample_file(
    source: Path,
    destination: Path,
    *,
    target: str,
    sampler: Any = None,
    percentage: float | None = None,
    dup_size: int | None = None,
    memory_limit: MemoryLimit | None = None,
    origins: Path | None = None,
    only_synthetic: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> FileReport:
    """Resample a table from file to file. Only the rows of classes that get synthetic rows are held in memory.

    The rows are the same, bit by bit, as those of ``sampler.fit_resample`` on the table in memory: the originals in
    their order, then the synthetic rows class by class in sorted order. Columns, their order and types are kept, and
    so is the metadata of Parquet and Arrow schemas.

    Parameters
    ----------
    source : str or path-like
        A table. The extension tells its format: ``.csv`` or ``.tsv`` (also followed by ``.gz`` or ``.zst``),
        ``.parquet``, ``.arrow`` or ``.feather``. Or a folder: all its ``*.parquet`` files, in the order of their
        names, are one table. Every column except ``target`` is a feature, numeric and finite.
    destination : str or path-like
        The file for the result, in the format of its own extension. It is written completely or not at all.
    target : str
        Column of the labels; no label may be missing.
    sampler : sampler, optional
        An instance, such as ``BorderlineSMOTE(random_state=0)``. Default: ``SMOTE()``.
    percentage : float, optional
        Number of synthetic rows per 100 rows of the smaller of two classes, instead of the sampler's
        ``sampling_strategy``; the result is rounded down.
    dup_size : int, optional
        Number of synthetic rows per row of the smaller of two classes, at least 1; likewise.
    memory_limit : int, float, str or dict, optional
        The most memory by which the process may grow during the call: bytes, text such as "1GB", or a fraction of
        the free memory. Default: the limit of the sampler, else of the configuration, else the free memory.
    origins : str or path-like, optional
        A second file for a table with one row per synthetic row: ``class``, ``base`` and ``neighbor``
        (rows of ``source``, counted from 0) and ``gap``.
    only_synthetic : bool, default=False
        Whether to leave out the original rows.
    force : bool, default=False
        Whether to replace existing files.
    progress : callable, optional
        ``progress(stage, done, total)`` is called in this thread during the work. Stages, in order: "scan" (the
        target; in bytes of the source), "read" (rows), "search" (0 of 1, then 1 of 1), "copy" (rows; bytes from CSV
        to CSV), "make" (synthetic rows). If it raises an exception, the call ends and no file is written.

    Returns
    -------
    FileReport

    Raises
    ------
    FileError
        If a file cannot be read or written, or does not have the format that its extension means.
    DestinationExistsError
        If ``destination`` or ``origins`` exists and ``force`` is False.
    InputError
        If the table cannot be resampled; the message names column and row.
    ParameterError
        If a parameter has a value that is not allowed.
    DeviceError
        If the device of the sampler cannot be used; nothing was read.
    MemoryLimitError
        If the rows that must be held do not fit; nothing was written.
    MissingPackageError
        If pyarrow is not installed.

    See Also
    --------
    gpusmote.SMOTE : For tables in memory.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "Files are read and written with pyarrow, which is not installed.",
            'Install it: pip install "gpusmote[files]".',
        ) from error
    from gpusmote.files.engine import run

    amounts = {"percentage": percentage, "dup_size": dup_size}
    paths = {"source": source, "origins": origins, "destination": destination}
    return run(paths, target, sampler, amounts, memory_limit, only_synthetic, force, progress)
