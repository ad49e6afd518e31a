"""What gpusmote exports, and that each export explains itself."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import gpusmote

MODULES = [
    module.name
    for module in pkgutil.walk_packages(gpusmote.__path__, "gpusmote.")
    if module.name != "gpusmote.__main__"
]


def test_all_is_sorted_and_complete():
    assert gpusmote.__all__ == sorted(
        gpusmote.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    public = {
        name for name, value in vars(gpusmote).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public - {"annotations", "TYPE_CHECKING"} <= set(gpusmote.__all__)
    assert all(hasattr(gpusmote, name) for name in gpusmote.__all__)


def test_type_checkers_are_told_the_same_homes():
    told = {
        alias.name: (statement.module or "").removeprefix("gpusmote").removeprefix(".")
        for statement in ast.walk(ast.parse(inspect.getsource(gpusmote)))
        if isinstance(statement, ast.ImportFrom) and statement.module != "__future__"
        for alias in statement.names
    }
    assert told == {**gpusmote._HOMES, "r": ""}
    assert set(told) == set(gpusmote.__all__) <= set(dir(gpusmote))


def test_dir_shows_the_interface_and_nothing_else():
    """Whatever has been loaded, as all rooms are in this process."""
    every_module = {name for name in vars(gpusmote) if name.startswith("__") and name.endswith("__")}
    assert {"__doc__", "__name__", "__path__", "__version__"} <= every_module
    assert dir(gpusmote) == sorted({*gpusmote.__all__, *every_module})
    code = "import gpusmote; before = dir(gpusmote); gpusmote.SMOTE, gpusmote.errors; assert dir(gpusmote) == before"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_none_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'gpusmote' has no attribute 'SMOTEN_'"):
        gpusmote.SMOTEN_  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'smote'"):
        from gpusmote import smote  # noqa: F401


def test_nothing_is_loaded_before_it_is_asked_for():
    code = """
import sys, gpusmote
assert not {"numpy", "sklearn", "gpusmote.errors"} & set(sys.modules)
assert issubclass(gpusmote.errors.InputError, ValueError)  # a module of the package, without an import of its own
assert "gpusmote.over_sampling" not in sys.modules
from gpusmote import *
assert SMOTE is gpusmote.SMOTE and r is gpusmote.r
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("name", [name for name in gpusmote.__all__ if callable(getattr(gpusmote, name))])
def test_docstrings_name_every_parameter_and_what_comes_back(name):
    thing = getattr(gpusmote, name)
    functions = [thing]
    if inspect.isclass(thing):
        functions = [
            f
            for n, f in inspect.getmembers(thing, inspect.isfunction)
            if f.__module__.startswith("gpusmote") and n[0] != "_"
        ]
        assert ">>> " in thing.__doc__
    for function in functions:
        parameters = [p for p in inspect.signature(function).parameters if p not in ("self", "args", "kwargs")]
        for parameter in parameters:
            assert parameter in function.__doc__, f"{function.__qualname__} does not explain {parameter}"


@pytest.mark.parametrize("name", MODULES)
def test_modules_have_docstrings_and_their_examples_run(name):
    module = importlib.import_module(name)
    assert module.__doc__
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
