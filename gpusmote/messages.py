"""Numbers and names within sentences, for messages."""

from __future__ import annotations

__all__ = ["counted", "indefinite"]

_MANY = {"class": "classes", "query": "queries"}
_LIKE_A_VOWEL = ("a", "e", "i", "o", "h5py", "ndarray", "un", "xarray")  # as they are read out
_UNLIKE = ("uni", "euc", "eur", "one")


def counted(number: int, noun: str) -> str:
    """So many of them.

    Parameters
    ----------
    number : int
    noun : str
        In the singular; words may stand before it.

    Returns
    -------
    str

    Examples
    --------
    >>> counted(1, "row"), counted(0, "missing label"), counted(12345, "class")
    ('1 row', '0 missing labels', '12,345 classes')
    """
    before, space, last = noun.rpartition(" ")
    return f"{number:,} {noun if number == 1 else before + space + _MANY.get(last, last + 's')}"


def indefinite(name: str) -> str:
    """A type's name with the article that it is read with.

    Examples
    --------
    >>> indefinite("list_iterator"), indefinite("iterator"), indefinite("ndarray"), indefinite("numpy.ndarray")
    ('a list_iterator', 'an iterator', 'an ndarray', 'a numpy.ndarray')
    """
    start = name.lower()
    return f"{'an' if start.startswith(_LIKE_A_VOWEL) and not start.startswith(_UNLIKE) else 'a'} {name}"
