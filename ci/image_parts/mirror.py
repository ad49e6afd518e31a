"""How this host reaches the package index, as files that a build may read and must not keep."""

from __future__ import annotations

import ast
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Mirror", "host_mirror", "parsed"]

KEPT = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout", "retries")
IN_BUILD = "/run/secrets/ca_bundle"


@dataclass
class Mirror:
    """Secrets of a build, and the words that no layer may contain."""

    secrets: dict[str, Path]
    needles: tuple[bytes, ...]


def parsed(listed: str) -> dict[str, str]:
    """``pip config list``, by name; what the environment says comes over what files say, as in pip."""
    from_files, from_environment = {}, {}
    for line in listed.splitlines():
        key, equals, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if equals and section in ("global", "install", ":env:"):
            (from_environment if section == ":env:" else from_files)[name] = str(ast.literal_eval(value))
    return {**from_files, **from_environment}


def host_mirror(folder: Path) -> Mirror:
    """Write ``pip_conf`` and ``ca_bundle`` into a folder, each with a random word that makes it known again.

    Of pip's settings only those that say where packages come from are taken, and of these only what a build can reach:
    a folder of this host is not one.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    settings, found, needles = parsed(listed), {}, []
    lines = [f"{name} = {value}" for name in KEPT if (value := _reachable(name, settings.get(name, "")))]
    certificates = settings.get("cert") or os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    if certificates and Path(certificates).is_file():
        found["ca_bundle"] = Path(certificates).read_text(encoding="utf-8", errors="replace")
        lines.append(f"cert = {IN_BUILD}")
    if lines:
        found["pip_conf"] = "\n".join(["[global]", *lines]) + "\n"
    written = {}
    for name, text in found.items():
        word = secrets.token_hex(16)
        written[name] = folder / name
        written[name].touch(mode=0o600)
        written[name].write_text(f"# {word}\n{text}", encoding="utf-8")
        needles.append(word.encode())
    hosts = {urlsplit(url).netloc for name in KEPT[:2] for url in settings.get(name, "").split()}
    needles += [host.encode() for host in sorted(hosts) if host]
    return Mirror(written, tuple(needles))


def _reachable(name: str, value: str) -> str:
    if not name.endswith("index-url"):
        return value
    return " ".join(url for url in value.split() if urlsplit(url).scheme in ("http", "https"))
