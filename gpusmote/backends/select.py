"""Which device does the work, and why."""

from __future__ import annotations

from gpusmote.backends.base import Backend

__all__ = ["select"]


def select(device: str, work: float, lies_on: str) -> tuple[Backend, str]:
    """The backend for one call.

    Parameters
    ----------
    device : str
        The sampler's parameter: "auto" (what :func:`gpusmote.get_config` says), "cpu", "cuda" or "cuda:N".
    work : float
        Rows x rows x columns that the search would compare at most: what tells whether the trip to a device pays.
    lies_on : str
        "cpu" or "cuda:N": where X lies now.

    Returns
    -------
    backend : Backend
    reason : str
        Why this one, in words for the user.
    """
    return Backend(), "there is only the CPU path yet"
