"""What takes the place of python:3.13-slim-trixie where no registry answers: Debian 13 with its Python 3.13."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from image_parts.shell import call, say

__all__ = ["install_tools", "make"]

NAME = "localhost/base:trixie"
TOOLS = ("buildah", "debootstrap")
# What Debian's own slim images leave out as well.
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian")
CACHES = ("var/cache/apt", "var/lib/apt/lists", "var/log")


def install_tools() -> None:
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        say("installing", *missing)
        quietly = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        call("apt-get", "update", env=quietly)
        call("apt-get", "install", "--yes", "--no-install-recommends", *missing, env=quietly)


def make(buildah: list) -> str:
    """The base image in this storage, made unless it is there; DEBIAN_MIRROR says from where."""
    if call(*buildah, "images", "--quiet", "--filter", f"reference={NAME}"):
        return NAME
    mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
    say("base image by debootstrap, Debian 13 with python3")
    container = call(*buildah, "from", "scratch")
    root = Path(call(*buildah, "mount", container))
    call("debootstrap", "--variant=minbase", "--include=python3,python3-venv", "trixie", root, mirror)
    for folder in LEFT_OUT + CACHES:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir()
    call(*buildah, "commit", "--rm", container, NAME)
    return NAME
