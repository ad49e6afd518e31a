"""The command line and the order of the steps."""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from image_parts import checks, stamp
from image_parts.engines import engine
from image_parts.mirror import host_mirror
from image_parts.shell import ROOT, ImageError, NoEngineError, call, say

__all__ = ["main"]


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ci/image", description=f"Build the images, run them, check them. Both: writes {stamp.FILE}."
    )
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="cpu, gpu; default: both")
    parser.add_argument(
        "--if-changed",
        action="store_true",
        help="only if what goes into them is not what was built last; status 0 where this machine cannot build",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="work there and leave it, so that the next run is quicker"
    )
    parsed = parser.parse_args(given)
    if set(parsed.images) - {"cpu", "gpu"}:
        parser.error("the images are cpu and gpu")
    return parsed


def main(given: list[str] | None = None) -> int:
    """Exit status: 0 if every check held."""
    wanted = arguments(given)
    # Storage of some gigabytes goes at the end, so SIGTERM has to be such an end too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if wanted.if_changed:
        changed = stamp.changed()
        if not changed:
            last = stamp.read()
            sizes = ", ".join(f"{name} {seen['megabytes']} MB" for name, seen in last["images"].items())
            say(f"not built: what goes into the images is as on {last['date']}, at {last['commit'][:12]} ({sizes})")
            return 0
        say("changed since the images were built:", *changed)
    images = [image for image in (checks.CPU, checks.GPU) if image.name in (wanted.images or ("cpu", "gpu"))]
    try:
        with workplace(wanted.keep) as folder:
            seen: dict[str, dict] = {}
            try:
                with timed("engine and base", seen):
                    means = engine(folder)
            except NoEngineError as failed:
                say("not built:", failed)
                return 0 if wanted.if_changed else 1
            build_and_check(images, means, folder, seen)
    except ImageError as failed:
        say("FAILED:", failed)
        return 1
    if len(images) == 2:
        keep(seen)
    return 0


def build_and_check(images: list[checks.Image], means, folder: Path, seen: dict[str, dict]) -> None:
    with tempfile.TemporaryDirectory(prefix="run-", dir=folder) as name:
        run = Path(name)
        run.chmod(0o755)
        with timed("the host's run", seen):
            python = checks.host_python(run)
        version = call(python, "-c", "import gpusmote; print(gpusmote.__version__)", cwd=run)
        labels, mirror = {"VERSION": version, "REVISION": commit()}, host_mirror(run)
        for image in images:
            with timed(f"{image.name}, build", seen):
                means.build(image.dockerfile, image.tag, labels, mirror)
            with timed(f"{image.name}, checks", seen):
                seen[image.name] = checks.check(image, means, run, python, labels, mirror.needles)
            means.remove(image.tag)


@contextlib.contextmanager
def workplace(kept: Path | None) -> Iterator[Path]:
    """A folder for storage and runs, which goes with all that is in it unless it is to be kept."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="gpusmote-image-") as name:
        Path(name).chmod(0o755)  # the container's user has to reach /data
        yield Path(name)


@contextlib.contextmanager
def timed(what: str, seen: dict) -> Iterator[None]:
    begun = time.monotonic()
    yield
    seconds = round(time.monotonic() - begun)
    seen.setdefault("seconds", {})[what] = seconds
    say(f"{what}: {seconds} s")


def commit() -> str:
    """The commit that is built, with a mark where the checkout differs from it; it becomes a label."""
    if not (ROOT / ".git").exists():
        return "unknown"
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, check=False).returncode
    return call("git", "rev-parse", "HEAD") + ("-dirty" if changed else "")


def keep(seen: dict) -> None:
    """What the images held at a whole run: the README's figures, and what --if-changed compares with."""
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": platform.machine(),
        "seconds": seen.pop("seconds"),
        "images": seen,
        "inputs": stamp.inputs(),
    }
    (ROOT / stamp.FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    say(f"wrote {stamp.FILE}")
