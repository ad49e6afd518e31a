"""The error tree: built-in classes, rendering, pickling."""

from __future__ import annotations

import inspect
import pickle

import pytest

from gpusmote import errors

BUILT_IN = {
    "InputError": (ValueError,),
    "NonFiniteError": (ValueError,),
    "InputTypeError": (ValueError, TypeError),
    "TooFewRowsError": (ValueError,),
    "ParameterError": (ValueError, TypeError),
    "StrategyError": (ValueError, TypeError),
    "NoSeedsError": (ValueError,),
    "PlanError": (ValueError,),
    "FileError": (OSError,),
    "DestinationExistsError": (OSError, FileExistsError),
    "MissingPackageError": (ImportError,),
    "DeviceError": (RuntimeError,),
    "DeviceLostError": (RuntimeError,),
    "MemoryLimitError": (MemoryError, RuntimeError),
    "MemoryShortageError": (MemoryError, RuntimeError),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_is_also_what_scikit_learn_users_catch(name):
    error = getattr(errors, name)("What is wrong.", "What to do.")
    assert isinstance(error, (errors.GpusmoteError, *BUILT_IN[name]))
    assert all(isinstance(error, kind) for kind in BUILT_IN[name])
    assert str(error) == "What is wrong. What to do."
    assert (error.message, error.hint) == ("What is wrong.", "What to do.")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


def test_without_a_hint_there_is_no_space_at_the_end():
    assert str(errors.InputError("What is wrong.")) == "What is wrong."


def test_the_tree_is_drawn_whole():
    classes = {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__
    }
    assert classes == set(errors.__all__) - {"warn"}
    for name in BUILT_IN:
        assert name in errors.__doc__
    assert set(BUILT_IN) == classes - {"GpusmoteError", "GpusmoteWarning"}


def test_a_warning_points_at_the_line_outside_that_called():
    """However deep it was found: here two frames of gpusmote's own."""
    inside = {"__name__": "gpusmote.over_sampling.anything", "warn": errors.warn}
    exec("def found(): warn('Slow.')\ndef called(): found()", inside)
    with pytest.warns(errors.GpusmoteWarning, match="Slow") as caught:
        inside["called"]()
    assert caught[0].filename == __file__
