"""Package-wide settings: the defaults of parameters that a sampler does not set itself."""

from __future__ import annotations

import contextlib
import contextvars
import enum
import numbers
import os
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from gpusmote.errors import ParameterError

__all__ = ["config_context", "get_config", "set_config", "setting"]

BIT_GENERATORS = ("philox", "mt19937")

_UNITS = {"": 1, **{f"{p}b": 1000**i for i, p in enumerate(("", "k", "m", "g", "t"))}}
_UNITS.update({f"{p}ib": 1024**i for i, p in enumerate("kmgt", start=1)})
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)|(\d+)", re.IGNORECASE)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class _Unchanged(enum.Enum):
    """The default of arguments that leave a setting as it is; None is a value of its own."""

    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return "unchanged"


_UNCHANGED: Final = _Unchanged.UNCHANGED
_DEFAULTS: dict[str, Any] = {"device": None, "bit_generator": "philox", "memory_limit": None}
_settings = dict(_DEFAULTS)
MemoryLimit = int | float | str | Mapping[str, int | float | str]

# A context variable, so that `with config_context(...)` in one thread or task does not affect the others.
_overrides: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar(
    "gpusmote_config", default=MappingProxyType({})
)


def get_config() -> dict[str, Any]:
    """The current settings.

    Returns
    -------
    dict
        ``device`` ("auto", "cpu", "cuda" or "cuda:N"): what a sampler's ``device="auto"`` means. If it was not set, it
        is read from the environment variable ``GPUSMOTE_DEVICE``.
        ``bit_generator`` ("philox" or "mt19937").
        ``memory_limit`` (see :class:`gpusmote.SMOTE`): None means the free memory less a margin.

    Raises
    ------
    ParameterError
        If ``GPUSMOTE_DEVICE`` is read and is not the name of a device.

    Examples
    --------
    >>> import gpusmote
    >>> gpusmote.get_config()["bit_generator"]
    'philox'
    """
    return {name: setting(name) for name in _DEFAULTS}


def setting(name: str) -> Any:
    """One setting of :func:`get_config`. The environment variable is read only for ``device``."""
    value = {**_settings, **_overrides.get()}[name]
    return _from_environment() if name == "device" and value is None else value


def _from_environment() -> str:
    device = os.environ.get("GPUSMOTE_DEVICE") or "auto"
    try:
        parse_device(device)
    except ParameterError as error:
        raise ParameterError(f"The environment variable GPUSMOTE_DEVICE is {device!r}.", error.hint) from None
    return device


def set_config(
    *,
    device: str | _Unchanged | None = _UNCHANGED,
    bit_generator: str | _Unchanged | None = _UNCHANGED,
    memory_limit: MemoryLimit | _Unchanged | None = _UNCHANGED,
) -> None:
    """Change settings for the whole process.

    A setting that is not given keeps its value; None restores its default.

    Parameters
    ----------
    device : str or None, optional
        See :func:`get_config`.
    bit_generator : {"philox", "mt19937"} or None, optional
        See :func:`get_config`.
    memory_limit : int, float, str, dict or None, optional
        See :func:`get_config`.

    Raises
    ------
    ParameterError
        If a value is not allowed.

    Examples
    --------
    >>> import gpusmote
    >>> gpusmote.set_config(bit_generator="mt19937", memory_limit="8GB")
    >>> gpusmote.set_config(bit_generator=None)
    >>> gpusmote.get_config()["bit_generator"], gpusmote.get_config()["memory_limit"]
    ('philox', '8GB')
    >>> gpusmote.set_config(memory_limit=None)
    """
    _settings.update(_checked(device=device, bit_generator=bit_generator, memory_limit=memory_limit))


@contextlib.contextmanager
def config_context(
    *,
    device: str | _Unchanged | None = _UNCHANGED,
    bit_generator: str | _Unchanged | None = _UNCHANGED,
    memory_limit: MemoryLimit | _Unchanged | None = _UNCHANGED,
) -> Iterator[None]:
    """Change settings within a ``with`` block, for this thread (or asyncio task) only.

    A setting that is not given keeps its value; None sets its default.

    Parameters
    ----------
    device : str or None, optional
        See :func:`get_config`.
    bit_generator : {"philox", "mt19937"} or None, optional
        See :func:`get_config`.
    memory_limit : int, float, str, dict or None, optional
        See :func:`get_config`.

    Raises
    ------
    ParameterError
        If a value is not allowed.

    Examples
    --------
    >>> import gpusmote
    >>> with gpusmote.config_context(device="cpu"):
    ...     gpusmote.get_config()["device"]
    'cpu'
    """
    settings = _checked(device=device, bit_generator=bit_generator, memory_limit=memory_limit)
    token = _overrides.set({**_overrides.get(), **settings})
    try:
        yield
    finally:
        _overrides.reset(token)


def _checked(**settings: Any) -> dict[str, Any]:
    given = {name: value for name, value in settings.items() if value is not _UNCHANGED}
    given = {name: _DEFAULTS[name] if value is None else value for name, value in given.items()}
    if given.get("device") is not None:
        parse_device(given["device"])
    if "bit_generator" in given and given["bit_generator"] not in BIT_GENERATORS:
        raise ParameterError(
            f"bit_generator is {given['bit_generator']!r}.", f"It must be one of {', '.join(BIT_GENERATORS)}."
        )
    parse_memory_limit(given.get("memory_limit"), "cpu")
    return given


def parse_device(device: str) -> tuple[str, int | None]:
    """Split the name of a device into its kind and its number (None if there is no number).

    Raises
    ------
    ParameterError
        If it is not the name of a device, or names several devices.

    Examples
    --------
    >>> parse_device("cuda:1")
    ('cuda', 1)
    >>> parse_device("auto")
    ('auto', None)
    """
    kind, colon, ordinal = device.partition(":") if isinstance(device, str) else ("", "", "")
    if kind in ("auto", "cpu", "cuda") and not colon:
        return kind, None
    if kind == "cuda" and ordinal.isascii() and ordinal.isdecimal():
        return kind, int(ordinal)
    if kind == "cuda" and (ordinal == "all" or "," in ordinal):
        raise ParameterError(f"device is {device!r}, but one call uses one device.", 'Name one device, e.g. "cuda:0".')
    raise ParameterError(
        f"device is {device!r}.", 'It must be "auto", "cpu", "cuda" or "cuda:N" with N the number of the device.'
    )


def parse_memory_limit(limit: MemoryLimit | None, worker: str) -> dict[str, int | float]:
    """The limit for each kind of memory: bytes (int) or a fraction of the free memory (float).

    Parameters
    ----------
    limit : int, float, str, dict or None
        See ``memory_limit`` of :class:`gpusmote.SMOTE`.
    worker : {"cpu", "cuda"}
        The memory that a limit without a key applies to.

    Returns
    -------
    dict
        Limits under the keys "cpu" and "cuda". A missing key means that all of the free memory may be used.

    Raises
    ------
    ParameterError
        If the limit has another form, or is not above 0.

    Examples
    --------
    >>> parse_memory_limit("1.5 GiB", "cuda"), parse_memory_limit("50%", "cpu")
    ({'cuda': 1610612736}, {'cpu': 0.5})
    >>> parse_memory_limit({"cpu": "8GB", "cuda": 0.5}, "cpu")
    {'cpu': 8000000000, 'cuda': 0.5}
    """
    if limit is None:
        return {}
    named = limit if isinstance(limit, Mapping) else {worker: limit}
    if not set(named) <= {"cpu", "cuda"}:
        raise ParameterError(f"memory_limit is {limit!r}.", 'Its keys must be "cpu" and "cuda".')
    return {name: _amount(amount) for name, amount in named.items() if amount is not None}


def _amount(limit: Any) -> int | float:
    amount = _read(limit.strip()) if isinstance(limit, str) else limit
    if isinstance(amount, numbers.Integral) and not isinstance(amount, bool) and int(amount) >= 1:
        return int(amount)
    if isinstance(amount, (float, np.floating)) and 0 < amount <= 1:
        return float(amount)
    raise ParameterError(
        f"memory_limit is {limit!r}.",
        'It must be bytes (a whole number, or text such as "8GB" or "512MiB"), a fraction of the free memory (text '
        'such as "50%", or a float such as 0.5), or a dict of these for "cpu" and "cuda".',
    )


def _read(text: str) -> int | float | None:
    """Bytes (int) or a fraction (float). None for other text, such as "0.5", which could mean either."""
    if share := _SHARE.fullmatch(text):
        return float(share[1]) / 100
    size = _SIZE.fullmatch(text)
    if size is None or (size[2] or "").lower() not in _UNITS:
        return None
    return int(size[3]) if size[3] else int(float(size[1]) * _UNITS[size[2].lower()])
