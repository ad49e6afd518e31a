"""Explicit signatures for classes whose ``__init__`` takes ``**common``, so that scikit-learn finds all parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["write_signature"]


def write_signature(cls: Any, root: type) -> None:
    """Replace ``**common`` in the signature of a class by the parameters that it passes to its base classes.

    Parameters
    ----------
    cls : type
        Its ``__init__``, own or inherited, may pass ``**common`` on to the next ``__init__``, and so on up to ``root``.
    root : type
        The base class that takes the last of the parameters.

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
    merged: dict[str, inspect.Parameter] = {}
    for init in inits:
        own, has_kwargs = _own(init)
        for parameter in own:
            if init is inits[0]:
                merged[parameter.name] = parameter
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                merged.setdefault(parameter.name, parameter.replace(kind=parameter.KEYWORD_ONLY))
        if not has_kwargs:
            break
    signature = inspect.signature(inits[0]).replace(parameters=list(merged.values()))
    if "__init__" not in vars(cls):
        if inspect.signature(inits[0]) == signature:
            return
        # The inherited __init__ is shared with other subclasses, whose signatures must not change.
        cls.__init__ = _forwarding_init(cls)
    vars(cls)["__init__"].__signature__ = signature


def _own(init: Callable[..., Any]) -> tuple[list[inspect.Parameter], bool]:
    """The parameters in a function's code, regardless of ``__signature__``, and whether it takes ``**kwargs``."""
    code = inspect.unwrap(init).__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    parameters = inspect.signature(init).parameters.values()
    own = [p for p in parameters if p.name in names or p.kind is p.VAR_POSITIONAL]
    return own, bool(code.co_flags & inspect.CO_VARKEYWORDS)


def _forwarding_init(cls: Any) -> Callable[..., None]:
    def __init__(self: Any, *given: Any, **named: Any) -> None:  # noqa: N807
        super(cls, self).__init__(*given, **named)

    __init__.__qualname__, __init__.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    return __init__
