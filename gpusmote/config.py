"""Settings that hold where a sampler's own parameter does not decide."""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from gpusmote.errors import ParameterError

__all__ = ["config_context", "get_config", "set_config"]

BIT_GENERATORS = ("philox", "mt19937")

_settings: dict[str, Any] = {"device": None, "bit_generator": "philox"}
# A context variable, so that `with config_context(...)` in one thread or task leaves the others alone.
_overrides: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar(
    "gpusmote_config", default=MappingProxyType({})
)


def get_config() -> dict[str, Any]:
    """Settings in force here.

    Returns
    -------
    dict
        ``device`` ("auto", "cpu", "cuda", "cuda:N": what a sampler's ``device="auto"`` means; from the environment
        variable ``GPUSMOTE_DEVICE`` where nothing else was set) and ``bit_generator`` ("philox" or "mt19937").

    Examples
    --------
    >>> import gpusmote
    >>> gpusmote.get_config()["bit_generator"]
    'philox'
    """
    merged = {**_settings, **_overrides.get()}
    if merged["device"] is None:
        merged["device"] = os.environ.get("GPUSMOTE_DEVICE") or "auto"
    return merged


def set_config(*, device: str | None = None, bit_generator: str | None = None) -> None:
    """Change settings for the whole process.

    Parameters
    ----------
    device : str, optional
        See :func:`get_config`. What is not given stays as it is.
    bit_generator : {"philox", "mt19937"}, optional

    Raises
    ------
    ParameterError
        If a value is not one of those allowed.
    """
    _settings.update(_checked(device=device, bit_generator=bit_generator))


@contextlib.contextmanager
def config_context(*, device: str | None = None, bit_generator: str | None = None) -> Iterator[None]:
    """Change settings within a ``with`` block, for this thread (or asyncio task) only.

    Parameters
    ----------
    device : str, optional
        See :func:`get_config`. What is not given stays as it is.
    bit_generator : {"philox", "mt19937"}, optional

    Raises
    ------
    ParameterError
        If a value is not one of those allowed.

    Examples
    --------
    >>> import gpusmote
    >>> with gpusmote.config_context(device="cpu"):
    ...     gpusmote.get_config()["device"]
    'cpu'
    """
    token = _overrides.set({**_overrides.get(), **_checked(device=device, bit_generator=bit_generator)})
    try:
        yield
    finally:
        _overrides.reset(token)


def _checked(**settings: str | None) -> dict[str, str]:
    given = {name: value for name, value in settings.items() if value is not None}
    if "device" in given:
        parse_device(given["device"])
    if "bit_generator" in given and given["bit_generator"] not in BIT_GENERATORS:
        raise ParameterError(
            f"bit_generator is {given['bit_generator']!r}.", f"It must be one of {', '.join(BIT_GENERATORS)}."
        )
    return given


def parse_device(device: str) -> tuple[str, int | None]:
    """Split a device's name into its kind and ordinal.

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
    if kind == "cuda" and ordinal.isdecimal():
        return kind, int(ordinal)
    raise ParameterError(
        f"device is {device!r}.",
        'It must be "auto", "cpu", "cuda" or "cuda:N" with N the number of the device.',
    )
