"""Whether what goes into the images is still what was built last: docker/built.json, written by a whole run."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

from image_parts.shell import ROOT

__all__ = ["FILE", "changed", "inputs", "read"]

FILE = Path("docker/built.json")
PATTERNS = ("docker/Dockerfile*", "docker/*.sh", "docker/slim.py", "docker/requirements-*.txt", ".dockerignore")


def inputs(root: Path = ROOT) -> dict[str, str]:
    """A hash for each file that decides an image, apart from gpusmote's own code, which ``ci/test`` tests."""
    files = sorted({path for pattern in PATTERNS for path in root.glob(pattern)})
    found = {path.relative_to(root).as_posix(): _hash(path.read_bytes()) for path in files}
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    # Of that file, what makes the wheel and what is locked: the settings of linters and tests change no image.
    hatch = project["tool"]["hatch"]
    said = [
        project["build-system"],
        hatch["version"],
        hatch["build"]["targets"]["wheel"],
        project["project"]["scripts"],
    ]
    said += [project["project"]["dependencies"], project["project"]["optional-dependencies"]["cli"]]
    said += [project["project"]["optional-dependencies"][extra] for extra in ("files", "cuda12")]
    found["pyproject.toml"] = _hash(json.dumps(said, sort_keys=True).encode())
    return found


def read(root: Path = ROOT) -> dict[str, Any]:
    """What the last whole run wrote; empty if there was none."""
    file = root / FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def changed(root: Path = ROOT) -> list[str]:
    """The inputs that differ from those of the last whole run, appeared or went."""
    now, then = inputs(root), read(root).get("inputs", {})
    return sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
