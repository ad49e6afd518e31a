"""Options come from the samplers, and all of them do."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from sklearn.utils._param_validation import Interval, StrOptions

import gpusmote as library
from gpusmote.cli import parameters as module
from gpusmote.cli.parameters import build, merged, parameters, samplers
from gpusmote.errors import ParameterError
from tests.cli.helpers import gpusmote


class Fuzzy:
    """A sampler as another might write it.

    Parameters
    ----------
    categorical : array-like or "auto"
        Columns
        that :class:`~gpusmote.SMOTE` cannot take.
    share : float
    weights, strength : int
        See :class:`SMOTE`.
    k_neighbors : int
        See :class:`SMOTE`.

    Notes
    -----
    Nothing.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "categorical": ["array-like", StrOptions({"auto"})],
        "share": [Interval(numbers.Real, 0, 1, closed="both"), None],
        "limit": [Interval(numbers.Real, 0, None, closed="neither"), str, Mapping],
        "k_neighbors": [Interval(numbers.Integral, 1, None, closed="left")],
        "verbose": ["boolean"],
        "function": [callable, None],
    }

    def __init__(
        self,
        categorical: Any = "auto",
        share: Any = None,
        limit: Any = "1GB",
        k_neighbors: int = 7,
        verbose: bool = True,
        function: Any = None,
    ) -> None:
        self.values = {"categorical": categorical, "share": share, "limit": limit, "verbose": verbose}

    def fit_resample(self, X: Any, y: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def with_fuzzy(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"Fuzzy": Fuzzy, "SMOTE": library.SMOTE}
    monkeypatch.setattr(module, "samplers", lambda: both)
    monkeypatch.setattr(module, "parameters", lambda: merged(both))


def test_every_exported_sampler_is_there() -> None:
    exported = [getattr(library, name) for name in library.__all__]
    assert list(samplers().values()) == [thing for thing in exported if hasattr(thing, "fit_resample")]
    assert {"ADASYN", "SMOTE", "BorderlineSMOTE"} <= set(samplers())


@pytest.mark.parametrize("sampler", samplers())
def test_every_parameter_is_offered_with_its_default_and_meaning(sampler: str) -> None:
    offered = {parameter.name: parameter for parameter in parameters()}
    signature = inspect.signature(samplers()[sampler]).parameters
    assert set(signature) - set(module.NOT_OFFERED) <= set(offered)
    for name, given in signature.items():
        if name not in module.NOT_OFFERED:
            assert offered[name].defaults[sampler] == given.default
            assert offered[name].meaning or offered[name].choices, name
            assert ":class:" not in offered[name].meaning


@pytest.mark.parametrize("command", ["resample", "plan"])
def test_help_lists_every_parameter(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    done = gpusmote(command, "--help")
    assert (done.status, done.err) == (0, "")
    for parameter in parameters():
        assert parameter.flag in done.out
        assert parameter.kind is bool or f"[default: {parameter.default}]" in done.out or not parameter.default
        assert all(choice in done.out for choice in parameter.choices if parameter.kind is str)


def test_kinds_follow_from_the_constraints(with_fuzzy: None) -> None:
    found = {parameter.name: parameter for parameter in module.parameters()}
    kinds = {"categorical": list, "share": float, "limit": object, "k_neighbors": int, "verbose": bool}
    assert {name: found[name].kind for name in kinds} == kinds
    assert "function" not in found
    assert found["k_neighbors"].default == "Fuzzy 7, SMOTE 5"
    assert found["categorical"].meaning == "Columns that SMOTE cannot take."
    assert found["verbose"].default == "true"
    assert found["share"].default == ""


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("categorical", "city, day", ["city", "day"]),
        ("categorical", "city", ["city"]),
        ("categorical", "auto", "auto"),
        ("limit", "200MB", "200MB"),
        ("limit", "2000", 2000),
        ("limit", "0.5", 0.5),
        ("limit", '{"cpu": "1GB"}', {"cpu": "1GB"}),
        ("limit", "true", "true"),
    ],
)
def test_text_becomes_what_the_parameter_takes(name: str, text: str, value: object, with_fuzzy: None) -> None:
    assert build("Fuzzy", {name: text}).values[name] == value


def test_a_parameter_that_the_sampler_lacks_is_refused_with_who_has_it(with_fuzzy: None) -> None:
    with pytest.raises(ParameterError, match=r"SMOTE has no --share\. Fuzzy has it"):
        build("SMOTE", {"share": 0.5})


def test_what_begins_like_an_object_must_be_one() -> None:
    with pytest.raises(ParameterError, match=r"--sampling-strategy \{rare: 3\} is not JSON: Expecting property name"):
        build("SMOTE", {"sampling_strategy": "{rare: 3}"})
