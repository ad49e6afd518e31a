"""What an image's layers hold: their size by part, and whether a word lies in any of them."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

__all__ = ["read", "search"]

BLOCK = 1 << 22
PACKAGE = re.compile(r"opt/gpusmote/lib/python[\d.]+/site-packages/(nvidia/[^/]+|[^/]+)")
# The parts of one package that lie under other names.
SAME = {"cupyx": "cupy", "cupy_backends": "cupy", "pydantic_core": "pydantic"}


def read(archive: Path, needles: Iterable[bytes]) -> tuple[Counter[str], list[str]]:
    """Go once through every layer and the configuration of an image.

    Parameters
    ----------
    archive : Path
        As ``docker save`` writes it.
    needles : iterable of bytes

    Returns
    -------
    Counter
        Bytes by part.
    list of str
        Files that contain one of the needles.
    """
    needles, sizes, found = tuple(needles), Counter(), []
    with tarfile.open(archive) as image:
        manifest = json.load(image.extractfile("manifest.json"))[0]
        if search(image.extractfile(manifest["Config"]), needles):
            found.append("the image's configuration")
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=image.extractfile(layer), mode="r|*") as files:
                for member in files:
                    if any(needle.decode() in member.name for needle in needles):
                        found.append(member.name)
                    if member.isreg():
                        sizes[part(member.name)] += member.size
                        if search(files.extractfile(member), needles):
                            found.append(member.name)
    return sizes, found


def part(path: str) -> str:
    """What a file belongs to, for people."""
    path = path.removeprefix("./").removeprefix("/")
    if not path.startswith("opt/"):
        return "base"
    inside = PACKAGE.match(path)
    if inside is None:
        return "gpusmote"
    name = inside[1].split("-")[0].split(".")[0]
    return SAME.get(name, name)


def search(file: IO[bytes], needles: tuple[bytes, ...]) -> bool:
    """Whether one of the needles lies in a file, across the edges of blocks too."""
    keep = max(map(len, needles), default=1) - 1
    return any(needle in window for window in _windows(file, keep) for needle in needles)


def _windows(file: IO[bytes], keep: int) -> Iterator[bytes]:
    tail = b""
    while block := file.read(BLOCK):
        yield tail + block
        tail = (tail + block)[-keep:] if keep else b""
