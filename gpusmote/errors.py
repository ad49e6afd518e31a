"""The error tree.

Every error that gpusmote raises on purpose descends from :class:`GpusmoteError` and from the built-in
class that scikit-learn's users expect, so that ``except ValueError`` goes on working::

    GpusmoteError
    ├── InputError (ValueError)             X or y cannot be used
    │   ├── NonFiniteError                  NaN or infinity
    │   ├── InputTypeError (TypeError)      columns that are not numbers, containers that are not known
    │   └── TooFewRowsError                 a class is too small for the k that was asked for
    ├── ParameterError (ValueError, TypeError)
    │   └── StrategyError                   sampling_strategy does not fit the classes
    ├── NoSeedsError (ValueError)           a sampler's rule finds no row to start from
    ├── PlanError (ValueError)              a plan is asked for what it does not hold, or meets another X
    ├── DeviceError (RuntimeError)          a device or what it needs is missing, or failed
    │   └── DeviceLostError                 it failed for good, as far as this process goes
    ├── FileError (OSError)                 a file cannot be read or written, or is not what its name says
    │   └── DestinationExistsError (FileExistsError)   it would be overwritten
    ├── MissingPackageError (ImportError)   a package that the core does without is not installed
    └── MemoryLimitError (MemoryError, RuntimeError)   the work does not fit; nothing was allocated
        └── MemoryShortageError             memory ran out all the same, in the middle of the work

Each message says what is wrong, where, and (as ``hint``) what to do about it.
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
    """Root of the tree.

    Parameters
    ----------
    message : str
        What is wrong and where.
    hint : str, default=""
        What to do about it. ``str(error)`` is the message, then the hint; a command line can print
        :attr:`hint` on a line of its own.
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
    """X holds NaN or infinity."""


class InputTypeError(InputError, TypeError):
    """A container or a column type that gpusmote cannot read as numbers."""


class TooFewRowsError(InputError):
    """A class has too few rows for the number of neighbors that was asked for."""


class ParameterError(GpusmoteError, InvalidParameterError):
    """A parameter's value is not one of those allowed."""


class StrategyError(ParameterError):
    """``sampling_strategy`` does not fit the classes of y."""


class NoSeedsError(GpusmoteError, ValueError):
    """A sampler's rule leaves no row of a class to start from."""


class PlanError(GpusmoteError, ValueError):
    """A plan is asked for rows that it does not hold, is loaded beside another X, or its file is damaged."""


class DeviceError(GpusmoteError, RuntimeError):
    """A device, or a package that it needs, is missing or failed."""


class DeviceLostError(DeviceError):
    """A device that this process cannot use any more: it is gone, or an error has broken the CUDA context."""


class FileError(GpusmoteError, OSError):
    """A file cannot be read or written, or does not hold what its name says; ``filename`` and ``errno`` where known."""

    def __init__(self, message: str, hint: str = "", filename: str | None = None, errno: int | None = None) -> None:
        super().__init__(message, hint)
        self.filename, self.errno = filename, errno

    def __reduce__(self) -> tuple[Any, ...]:  # OSError's own leaves out what is not in its args
        return type(self), (self.message, self.hint, self.filename, self.errno)


class DestinationExistsError(FileError, FileExistsError):
    """A file is there already, and may not be replaced without ``force``."""


class MissingPackageError(GpusmoteError, ImportError):
    """A package that only this function needs is not installed."""


class MemoryLimitError(GpusmoteError, MemoryError, RuntimeError):
    """The work does not fit in memory; raised from an estimate, before anything is allocated."""


class MemoryShortageError(MemoryLimitError):
    """Memory ran out in the middle of the work, because others took what was free; nothing is returned."""


class GpusmoteWarning(UserWarning):
    """Something was done in another way than asked for, and the warning says how."""


def warn(text: str) -> None:
    """Give a :class:`GpusmoteWarning`, at the line outside gpusmote from which it was called."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "gpusmote":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, GpusmoteWarning, stacklevel=level)
