"""The forms of files, told by their endings."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from gpusmote.errors import FileError

__all__ = ["Form", "form_of"]


@dataclasses.dataclass(frozen=True)
class Form:
    """A form of file.

    Attributes
    ----------
    kind : {"csv", "parquet", "arrow"}
    compression : str or None
        Of the whole file ("gzip", "zstd": CSV) or of the blocks in it ("lz4": Feather).
    """

    kind: str
    compression: str | None = None


_FORMS = {
    ".csv": Form("csv"),
    ".csv.gz": Form("csv", "gzip"),
    ".csv.zst": Form("csv", "zstd"),
    ".parquet": Form("parquet"),
    ".arrow": Form("arrow"),
    ".feather": Form("arrow", "lz4"),
}


def form_of(path: str | os.PathLike[str]) -> Form:
    """The form that the ending of a path tells.

    Raises
    ------
    FileError
        If the ending is none of those known.

    Examples
    --------
    >>> form_of("table.csv.gz")
    Form(kind='csv', compression='gzip')
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
