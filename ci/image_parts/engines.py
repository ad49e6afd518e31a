"""Build an image, run it, save it: by Docker or Podman, or by buildah and the kernel alone."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from image_parts import base
from image_parts.mirror import Mirror
from image_parts.shell import ROOT, NoEngineError, call, say

__all__ = ["Buildah", "Docker", "engine"]

NOBODY = "10001:10001"


def engine(folder: Path) -> Docker | Buildah:
    """The one that this machine has.

    Raises
    ------
    NoEngineError
        If it has none and none can be installed.
    """
    for name in ("docker", "podman"):
        if shutil.which(name) and not subprocess.run([name, "info"], capture_output=True, check=False).returncode:
            return Docker(name)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoEngineError("no Docker or Podman answers, and without root and apt-get buildah cannot take their place")
    return Buildah(folder)


class Docker:
    """Docker, or Podman, which takes the same arguments; the base comes from a registry unless BASE names one."""

    def __init__(self, program: str) -> None:
        self.program, self.base = program, os.environ.get("BASE")

    def build(self, dockerfile: str, tag: str, labels: dict[str, str], mirror: Mirror) -> None:
        arguments = dict(labels, **({"BASE": self.base} if self.base else {}))
        call(self.program, "build", *build_options(dockerfile, tag, arguments, mirror), quiet=False)

    def config(self, tag: str) -> dict:
        return json.loads(call(self.program, "image", "inspect", tag))[0]["Config"]

    @contextlib.contextmanager
    def runnable(self, tag: str):
        """Yields what makes a command line of arguments and a folder for /data."""

        def line(arguments, data: Path, entrypoint: str | None = None) -> list[str]:
            options = ["--rm", "--read-only", "--network", "none", "--tmpfs", "/tmp", "--volume", f"{data}:/data"]
            options += ["--entrypoint", entrypoint] if entrypoint else []
            return [self.program, "run", *options, tag, *arguments]

        yield line

    def save(self, tag: str, file: Path) -> None:
        call(self.program, "save", "--output", file, tag)

    def remove(self, tag: str) -> None:
        call(self.program, "image", "rm", tag)


class Buildah:
    """No daemon, no registry: buildah with chroot isolation and vfs storage, on a base made by debootstrap.

    Images run in a mount, process and network namespace of their own, on a root file system mounted read-only, with
    the entrypoint, user and environment that the image names.
    """

    def __init__(self, folder: Path) -> None:
        base.install_tools()
        self.folder = folder
        self.buildah = ["buildah", "--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "vfs"]
        self.base = os.environ.get("BASE") or base.make(self.buildah)

    def build(self, dockerfile: str, tag: str, labels: dict[str, str], mirror: Mirror) -> None:
        options = build_options(dockerfile, tag, dict(labels, BASE=self.base), mirror)
        call(
            *self.buildah, "build", "--isolation", "chroot", "--format", "docker", "--pull-never", *options, quiet=False
        )

    def config(self, tag: str) -> dict:
        return json.loads(call(*self.buildah, "inspect", "--type", "image", tag))["Docker"]["config"]

    @contextlib.contextmanager
    def runnable(self, tag: str):
        """Yields what makes a command line of arguments and a folder for /data."""
        config = self.config(tag)
        container = call(*self.buildah, "from", "--pull-never", tag)
        root = call(*self.buildah, "mount", container)

        def line(arguments, data: Path, entrypoint: str | None = None) -> list[str]:
            command = [entrypoint] if entrypoint else config["Entrypoint"]
            return [
                *("unshare", "--mount", "--pid", "--fork", "--net", "--ipc", "--kill-child"),
                *("sh", "-ec", SANDBOX, "sandbox", root, str(data), config["User"], config["WorkingDir"]),
                *("env", "--ignore-environment", *config["Env"], *command, *arguments),
            ]

        try:
            yield line
        finally:
            call(*self.buildah, "rm", container)

    def save(self, tag: str, file: Path) -> None:
        call(*self.buildah, "push", tag, f"docker-archive:{file}")

    def remove(self, tag: str) -> None:
        call(*self.buildah, "rmi", tag)


# $1 root, $2 data, $3 user, $4 folder to start in, then the command, which exec after exec makes process 1.
SANDBOX = """
root=$1 data=$2 user=$3 start=$4
shift 4
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$data" "$root/data"
exec chroot --userspec="$user" --groups= "$root" /usr/bin/env --chdir="$start" "$@"
"""


def build_options(dockerfile: str, tag: str, arguments: dict[str, str], mirror: Mirror) -> list[str]:
    """What docker build and buildah build both take."""
    options = ["--file", f"docker/{dockerfile}", "--tag", tag]
    for name, value in arguments.items():
        options += ["--build-arg", f"{name}={value}"]
    for name, file in mirror.secrets.items():
        options += ["--secret", f"id={name},src={file}"]
    say(f"docker/{dockerfile}, with {', '.join(sorted(mirror.secrets)) or 'no settings'} of this host mounted")
    return [*options, str(ROOT)]
