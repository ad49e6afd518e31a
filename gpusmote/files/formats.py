"""The forms of files, told by their endings."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from gpusmote.errors import FileError

__all__ = ["Form", "file_path", "form_of"]


@dataclasses.dataclass(frozen=True)
class Form:
    """A form of file.

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
    """A file's path; a name that ends as a folder's, which a Path would no longer tell, is refused.

    Raises
    ------
    FileError
        If it ends in a slash.
    TypeError
        If it is no path.

    Examples
    --------
    >>> file_path("table.csv").name
    'table.csv'
    """
    text = os.fspath(name)
    if isinstance(text, str) and text.endswith(tuple(filter(None, (os.sep, os.altsep)))):
        raise FileError(f"{text} names a folder.", f"Name a file, such as {text[:-1]}.", filename=text)
    return Path(text)


def form_of(path: str | os.PathLike[str]) -> Form:
    """The form that the ending of a path tells.

    Raises
    ------
    FileError
        If the ending is none of those known.

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
        f"What {os.fspath(path)} holds cannot be told from its name.",
        f"Files that are read and written end in {', '.join(_FORMS)}.",
        filename=os.fspath(path),
    )
