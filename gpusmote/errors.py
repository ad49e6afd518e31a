"""The exceptions and warnings of gpusmote.

Each exception that gpusmote raises on purpose is a :class:`GpusmoteError` and also a built-in exception that users of
scikit-learn expect, so ``except ValueError`` works too::

    GpusmoteError
    ├── InputError (ValueError)             X or y cannot be used
    │   ├── NonFiniteError                  NaN, infinity or missing values
    │   ├── InputTypeError (TypeError)      a column is not numeric, or a container is not supported
    │   └── TooFewRowsError                 a class has too few rows for the requested neighbors
    ├── ParameterError (ValueError, TypeError)   a parameter has a value that is not allowed
    │   └── StrategyError                   sampling_strategy does not fit the classes
    ├── NoSeedsError (ValueError)           a sampler finds no seed in a class
    ├── PlanError (ValueError)              rows that a plan does not have, another X, or a damaged file
    ├── DeviceError (RuntimeError)          a device, or a package it needs, is missing or failed
    │   └── DeviceLostError                 this process cannot use the device any more
    ├── FileError (OSError)                 a file cannot be read or written, or has the wrong content
    │   └── DestinationExistsError (FileExistsError)   the output file exists
    ├── MissingPackageError (ImportError)   an optional package is not installed
    └── MemoryLimitError (MemoryError, RuntimeError)   the work does not fit; nothing was allocated
        └── MemoryShortageError             memory ran out during the work

Each message says what is wrong and where; ``hint`` says what to do about it.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from sklearn.utils._param_validation import InvalidParameterError

__all__ = [
    "DestinationExistsError",
    "DeviceError",
    "DeviceLostError",
    "FileError",
    "GpusmoteError",
    "GpusmoteWarning",
    "InputError",
    "InputTypeError",
    "MemoryLimitError",
    "MemoryShortageError",
    "MissingPackageError",
    "NoSeedsError",
    "NonFiniteError",
    "ParameterError",
    "PlanError",
    "StrategyError",
    "TooFewRowsError",
    "warn",
]


class GpusmoteError(Exception):
    """Base class of all exceptions of gpusmote. ``str(error)`` is the message followed by the hint.

    Parameters
    ----------
    message : str
        What is wrong and where.
    hint : str, default=""
        What to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class InputError(GpusmoteError, ValueError):
    """X or y cannot be used as they are."""


class NonFiniteError(InputError):
    """X or y holds NaN, infinity or missing values."""


class InputTypeError(InputError, TypeError):
    """A container or a column type that gpusmote cannot read as numbers."""


class TooFewRowsError(InputError):
    """A class has too few rows for the requested number of neighbors."""


class ParameterError(GpusmoteError, InvalidParameterError):
    """A parameter has a value that is not allowed."""


class StrategyError(ParameterError):
    """``sampling_strategy`` does not fit the classes of y."""


class NoSeedsError(GpusmoteError, ValueError):
    """A sampler finds no row of a class that can be a seed."""


class PlanError(GpusmoteError, ValueError):
    """A plan does not have the requested rows, was made from another X, or its file is damaged."""


class DeviceError(GpusmoteError, RuntimeError):
    """A device, or a package that it needs, is missing or has failed."""


class DeviceLostError(DeviceError):
    """This process cannot use a device any more: it is gone, or an error has broken the CUDA context."""


class FileError(GpusmoteError, OSError):
    """A file cannot be read or written, or has the wrong content.

    Parameters
    ----------
    message, hint : str
        See :class:`GpusmoteError`.
    filename : str, optional
        Path of the file.
    errno : int, optional
        Error number of the operating system.
    """

    def __init__(self, message: str, hint: str = "", filename: str | None = None, errno: int | None = None) -> None:
        super().__init__(message, hint)
        self.filename, self.errno = filename, errno

    def __reduce__(self) -> tuple[Any, ...]:  # OSError.__reduce__ keeps only args
        return type(self), (self.message, self.hint, self.filename, self.errno)


class DestinationExistsError(FileError, FileExistsError):
    """The output file exists, and ``force`` was not given to replace it."""


class MissingPackageError(GpusmoteError, ImportError):
    """An optional package is not installed."""


class MemoryLimitError(GpusmoteError, MemoryError, RuntimeError):
    """The work does not fit in memory. Raised from an estimate, before anything is allocated."""


class MemoryShortageError(MemoryLimitError):
    """Memory ran out during the work, for instance because another process took it."""


class GpusmoteWarning(UserWarning):
    """Something was done in another way than requested; the text says how."""


def warn(text: str) -> None:
    """Issue a :class:`GpusmoteWarning` that points to the caller's line outside gpusmote."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "gpusmote":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, GpusmoteWarning, stacklevel=level)
