"""Options are read from the samplers."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
from sklearn.utils._param_validation import Interval, StrOptions

import gpusmote as library
from gpusmote.cli import parameters as module
from gpusmote.cli.parameters import build, choices, meaning, option_name, parameters, samplers, takes_number
from gpusmote.errors import ParameterError
from tests.cli.helpers import gpusmote


class Fuzzy:
    """A sampler of another package.

    Parameters
    ----------
    share : float
        Columns
        that :class:`~gpusmote.SMOTE` cannot take.

        Only in Python.
    limit, k_neighbors : int
        See :class:`SMOTE`.

    Notes
    -----
    Nothing.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "share": [Interval(numbers.Real, 0, 1, closed="both"), None],
        "limit": [Interval(numbers.Real, 0, None, closed="neither"), StrOptions({"auto"}), Mapping],
        "k_neighbors": [Interval(numbers.Integral, 1, None, closed="left")],
    }

    def __init__(self, share: Any = None, limit: Any = "1GB", k_neighbors: int = 7) -> None:
        self.values = {"share": share, "limit": limit}

    def fit_resample(self, X: Any, y: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def with_fuzzy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "samplers", lambda: {"Fuzzy": Fuzzy, "SMOTE": library.SMOTE})
    parameters.cache_clear()
    yield
    parameters.cache_clear()


def test_every_exported_sampler_is_there() -> None:
    exported = [getattr(library, name) for name in library.__all__]
    assert list(samplers().values()) == [thing for thing in exported if hasattr(thing, "fit_resample")]
    assert {"ADASYN", "SMOTE", "BorderlineSMOTE"} <= set(samplers())


@pytest.mark.parametrize("sampler", samplers())
def test_every_parameter_is_offered_with_its_default_and_meaning(sampler: str) -> None:
    for name, given in inspect.signature(samplers()[sampler]).parameters.items():
        if name != "memory_limit":
            assert parameters()[name][sampler] == given.default
            assert meaning(name), name
            assert ":class:" not in meaning(name)


@pytest.mark.parametrize("command", ["resample", "plan"])
def test_help_lists_every_parameter(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    done = gpusmote(command, "--help")
    assert (done.status, done.err) == (0, "")
    shown = " ".join(done.out.split())
    for name, owners in parameters().items():
        (default,) = set(owners.values())
        assert f" {option_name(name)} " in shown
        assert default in (None, False) or f"default: {default}]" in shown
        assert all(choice in shown for choice in choices(name))
    assert "[ADASYN and BorderlineSMOTE only; default: smote]" in shown


def test_kinds_follow_from_the_constraints(with_fuzzy: None) -> None:
    assert [takes_number(name) for name in ("share", "limit", "k_neighbors", "device")] == [True, True, True, False]
    assert [choices(name) for name in ("share", "limit")] == [[], ["auto"]]
    assert meaning("share") == "Columns that SMOTE cannot take."
    assert meaning("k_neighbors").startswith("Number of nearest neighbors")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("200MB", "200MB"),
        ("2000", 2000),
        ("0.5", 0.5),
        ('{"cpu": "1GB"}', {"cpu": "1GB"}),
        ("true", "true"),
    ],
)
def test_text_becomes_what_the_parameter_takes(text: str, value: object, with_fuzzy: None) -> None:
    assert build("Fuzzy", {"limit": text}).values["limit"] == value


def test_a_parameter_that_the_sampler_does_not_have_is_refused(with_fuzzy: None) -> None:
    with pytest.raises(ParameterError, match=r"SMOTE has no --share\. It is an option of Fuzzy"):
        build("SMOTE", {"share": "0.5"})


def test_what_begins_like_an_object_must_be_one() -> None:
    with pytest.raises(ParameterError, match=r"--sampling-strategy \{rare: 3\} is not JSON: Expecting property name"):
        build("SMOTE", {"sampling_strategy": "{rare: 3}"})
