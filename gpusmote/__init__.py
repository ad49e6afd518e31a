"""SMOTE and its variants on CUDA GPUs, and the same rows on the CPU.

Nothing is loaded before it is asked for: scikit-learn alone takes most of a second, in which the command line must
already be able to say its version or to be stopped.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true; typing itself would take longer to load than the rest
if TYPE_CHECKING:
    from gpusmote import r
    from gpusmote.config import config_context, get_config, set_config
    from gpusmote.files import resample_file
    from gpusmote.machine_info import info
    from gpusmote.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
    from gpusmote.oversample_table import oversample
    from gpusmote.synthesis.plan import Plan

__version__ = "0.1.0"

__all__ = [
    "ADASYN",
    "SMOTE",
    "BorderlineSMOTE",
    "Plan",
    "config_context",
    "get_config",
    "info",
    "oversample",
    "r",
    "resample_file",
    "set_config",
]

_HOMES = {
    "ADASYN": "over_sampling",
    "SMOTE": "over_sampling",
    "BorderlineSMOTE": "over_sampling",
    "Plan": "synthesis.plan",
    "config_context": "config",
    "get_config": "config",
    "info": "machine_info",
    "oversample": "oversample_table",
    "resample_file": "files",
    "set_config": "config",
}
"""Where each export comes from: what the block above says to type checkers, for the interpreter."""

if not TYPE_CHECKING:  # a type checker would take it that every name exists

    def __getattr__(name: str) -> object:
        """An export, or a module of the package, when it is first used."""
        import importlib.util

        if name in _HOMES:
            value = getattr(importlib.import_module(f"gpusmote.{_HOMES[name]}"), name)
        elif not name.startswith("_") and importlib.util.find_spec(f"gpusmote.{name}"):
            value = importlib.import_module(f"gpusmote.{name}")
        else:
            raise AttributeError(f"module 'gpusmote' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """What is public, loaded or not, and what every module has; not the rooms that happen to be loaded."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
