"""File formats, by the extension of the name."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from gpusmote.errors import FileError

__all__ = ["Form", "file_path", "form_of"]


@dataclasses.dataclass(frozen=True)
class Form:
    """A file format.

    Attributes
    ----------
    kind : {"csv", "parquet", "arrow"}
    compression : str or None
        Of the whole file ("gzip", "zstd": CSV) or of the blocks in it ("lz4": Feather).
    separator : str
        Between the columns of a CSV file.
    """

    kind: str
    compression: str | None = None
    separator: str = ","


_FORMS = {
    ".csv": Form("csv"),
    ".csv.gz": Form("csv", "gzip"),
    ".csv.zst": Form("csv", "zstd"),
    ".tsv": Form("csv", separator="\t"),
    ".tsv.gz": Form("csv", "gzip", "\t"),
    ".tsv.zst": Form("csv", "zstd", "\t"),
    ".parquet": Form("parquet"),
    ".arrow": Form("arrow"),
    ".feather": Form("arrow", "lz4"),
}


def file_path(name: str | os.PathLike[str]) -> Path:
    """The path of a file, or of a folder that exists.

    Raises
    ------
    FileError
        If the name ends in a slash, which Path would remove, and there is no such folder.
    TypeError
        If it is not a path.

    Examples
    --------
    >>> file_path("table.csv").name
    'table.csv'
    """
    text = os.fspath(name)
    separators = tuple(filter(None, (os.sep, os.altsep)))
    if isinstance(text, str) and text.endswith(separators) and not os.path.isdir(text):
        raise FileError(f"{text} names a folder.", f"Name a file, such as {text[:-1]}.", filename=text)
    return Path(text)


def form_of(path: str | os.PathLike[str]) -> Form:
    """The format that the extension of a path means.

    Raises
    ------
    FileError
        If the extension is unknown.

    Examples
    --------
    >>> form_of("table.csv.gz")
    Form(kind='csv', compression='gzip', separator=',')
    """
    name = Path(path).name.lower()
    for ending, form in _FORMS.items():
        if name.endswith(ending):
            return form
    raise FileError(
        f"The format of {os.fspath(path)} cannot be told from its name.",
        f"Files that are read and written end in {', '.join(_FORMS)}.",
        filename=os.fspath(path),
    )
