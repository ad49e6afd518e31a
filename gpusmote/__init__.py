"""SMOTE and its variants on CUDA GPUs and on the CPU, with the same rows on both.

The public names are imported when they are first used. scikit-learn alone takes most of a second to import, and the
command line must print its version, and react to signals, before that.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers assume True; importing it from typing would take longer than the rest
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
"""The module of each public name; the same as the imports above, which only type checkers read."""

if not TYPE_CHECKING:  # with a module __getattr__, type checkers would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name, or a module of the package, when it is first used."""
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
    """The public names, imported or not, and the special names; not the modules that happen to be imported."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
