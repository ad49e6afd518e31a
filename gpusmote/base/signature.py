"""What an ``__init__`` that takes ``**common`` can be given, written into its signature, where scikit-learn looks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["write_signature"]


def write_signature(cls: Any, root: type) -> None:
    """Put in the place of ``**common`` the parameters that it hands on, class by class up to ``root``.

    Parameters
    ----------
    cls : type
        Its ``__init__``, or the first that it inherits, may take ``**common`` for what the next one takes, and so on.
    root : type
        Its base, where the parameters end.

    Examples
    --------
    >>> class Root:
    ...     def __init__(self, *, device="auto", **unknown): ...
    >>> class Child(Root):
    ...     def __init__(self, *, k=5, **common): ...
    >>> write_signature(Child, Root)
    >>> print(inspect.signature(Child))
    (*, k=5, device='auto')
    """
    line = cls.__mro__[: cls.__mro__.index(root) + 1]
    inits = [vars(kind)["__init__"] for kind in line if "__init__" in vars(kind)]
    every: dict[str, inspect.Parameter] = {}
    for init in inits:
        own, hands_on = _own(init)
        for parameter in own:
            if init is inits[0]:
                every[parameter.name] = parameter
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                every.setdefault(parameter.name, parameter.replace(kind=parameter.KEYWORD_ONLY))
        if not hands_on:
            break
    signature = inspect.signature(inits[0]).replace(parameters=list(every.values()))
    if "__init__" not in vars(cls):
        if inspect.signature(inits[0]) == signature:
            return
        # An inherited one that others inherit too, beside other bases: theirs must not change.
        cls.__init__ = _handing_on(cls)
    vars(cls)["__init__"].__signature__ = signature


def _own(init: Callable[..., Any]) -> tuple[list[inspect.Parameter], bool]:
    """The parameters that the function itself names, whatever is written into its signature; whether it takes more."""
    code = inspect.unwrap(init).__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    parameters = inspect.signature(init).parameters.values()
    own = [p for p in parameters if p.name in names or p.kind is p.VAR_POSITIONAL]
    return own, bool(code.co_flags & inspect.CO_VARKEYWORDS)


def _handing_on(cls: Any) -> Callable[..., None]:
    def __init__(self: Any, *given: Any, **named: Any) -> None:  # noqa: N807
        super(cls, self).__init__(*given, **named)

    __init__.__qualname__, __init__.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    return __init__
