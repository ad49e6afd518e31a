"""Numbers and names within sentences, and that no message counts by itself."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gpusmote
from gpusmote.messages import counted, indefinite

NOUNS = "row column neighbor class label query feature value dimension list sample"


@pytest.mark.parametrize("noun", NOUNS.split())
def test_one_is_singular_and_no_other_number_is(noun: str) -> None:
    many = {"class": "classes", "query": "queries"}.get(noun, f"{noun}s")
    assert counted(1, noun) == f"1 {noun}"
    assert counted(1, f"missing {noun}") == f"1 missing {noun}"
    for number, told in ((0, "0"), (2, "2"), (-1, "-1"), (np.int64(1_234_567), "1,234,567")):
        assert counted(number, f"missing {noun}") == f"{told} missing {many}"


@pytest.mark.parametrize(
    ("names", "article"),
    [
        ("list_iterator str set UserDict uint8 uuid.UUID unit Euclidean OneHot numpy.ndarray Series", "a"),
        ("iterator int object array enumerate OrderedDict ndarray h5py.Dataset xarray.DataArray Unknown Index", "an"),
    ],
)
def test_the_article_is_as_it_is_read(names: str, article: str) -> None:
    assert [indefinite(name) for name in names.split()] == [f"{article} {name}" for name in names.split()]


COUNTED = re.compile(rf"^ (?:\w+ )?(?:{'|'.join([*NOUNS.split(), 'classe', 'querie'])})s\b")
EXEMPT = {
    "approximate.py": "an approximate search pays among thousands",
    "attempts.py": "bytes of estimates, rows of a block",
    "bench.py": "tables of fixed sizes",
    "bench_growth.py": "tables of fixed sizes",
    "bench_search.py": "tables of fixed sizes",
    "choose.py": "which of a search's sizes decided, for reports",
    "searched.py": "an approximate search pays among thousands",
    "select.py": "the work for a device, in whole thousands of millions",
}
"""What tells of sizes that are never 1, or that are no part of a sentence."""
FILES = {path.name: path for path in Path(gpusmote.__file__).parent.rglob("*.py") if path.name != "__init__.py"}


def neighbors_in_texts(path: Path) -> Iterator[tuple[ast.expr, ast.expr]]:
    for text in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(text, ast.JoinedStr):
            yield from itertools.pairwise(text.values)


@pytest.mark.parametrize("name", sorted(FILES.keys() - EXEMPT.keys()))
def test_no_message_counts_or_chooses_an_article_by_itself(name: str) -> None:
    """A number that is shown as text (``!r``) may be none, as in what a caller asked for. Bytes are always many."""
    for before, after in neighbors_in_texts(FILES[name]):
        if isinstance(before, ast.FormattedValue) and isinstance(after, ast.Constant) and before.conversion == -1:
            by_helper = ast.unparse(before.value).startswith("counted(")
            assert by_helper or not COUNTED.match(str(after.value)), ast.unparse(before)
        if isinstance(before, ast.Constant):
            assert not re.search(r"\b[Aa]n? $", str(before.value)), ast.unparse(after)
