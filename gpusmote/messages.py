"""Numbers with nouns, and articles, for messages."""

from __future__ import annotations

__all__ = ["counted", "indefinite"]

_MANY = {"class": "classes", "query": "queries"}
_VOWEL_SOUND = ("a", "e", "i", "o", "h5py", "ndarray", "un", "xarray")  # by pronunciation
_CONSONANT_SOUND = ("uni", "euc", "eur", "one")


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the singular or plural.

    Parameters
    ----------
    number : int
    noun : str
        In the singular; other words may precede it.

    Returns
    -------
    str
        Such as "12,345 rows".

    Examples
    --------
    >>> counted(1, "row"), counted(0, "missing label"), counted(12345, "class")
    ('1 row', '0 missing labels', '12,345 classes')
    """
    before, space, last = noun.rpartition(" ")
    return f"{number:,} {noun if number == 1 else before + space + _MANY.get(last, last + 's')}"


def indefinite(name: str) -> str:
    """The name of a type with its indefinite article.

    Examples
    --------
    >>> indefinite("list_iterator"), indefinite("iterator"), indefinite("ndarray"), indefinite("numpy.ndarray")
    ('a list_iterator', 'an iterator', 'an ndarray', 'a numpy.ndarray')
    """
    start = name.lower()
    return f"{'an' if start.startswith(_VOWEL_SOUND) and not start.startswith(_CONSONANT_SOUND) else 'a'} {name}"
