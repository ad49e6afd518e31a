"""Commands of the host, and where the checkout is."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["ROOT", "ImageError", "NoEngineError", "call", "say"]

ROOT = Path(__file__).resolve().parents[2]


class ImageError(Exception):
    """A build or a check did not succeed; the message is for people."""


class NoEngineError(ImageError):
    """This machine cannot build images, which is no fault of theirs."""


def say(*parts: object) -> None:
    print("ci/image:", *parts, flush=True)


def call(*command: object, quiet: bool = True, **options) -> str:
    """Run a command of the host and give what it printed; what it printed is shown only where it failed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=options.pop("cwd", ROOT),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.PIPE if quiet else None,
        check=False,
        **options,
    )
    if done.returncode:
        told = ((done.stdout or "") + (done.stderr or "")).strip()[-4000:]
        raise ImageError(f"{' '.join(str(part) for part in command[:6])} ... ended with {done.returncode}\n{told}")
    return (done.stdout or "").strip()
