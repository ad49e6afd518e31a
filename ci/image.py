"""Build the container images with buildah, without a daemon or a registry, then run and check them.

The base image is Debian 13 with its Python 3.13, made with debootstrap, in place of python:3.13-slim-trixie. BASE names
another image, DEBIAN_MIRROR another mirror.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
BUILT = Path("docker/built.json")
"""Results of the last build of both images, and hashes of the files they were built from."""
INPUTS = ("docker/Dockerfile*", "docker/*.sh", "docker/slim.py", "docker/requirements-*.txt", ".dockerignore")
TOOLS = ("buildah", "debootstrap")
NOBODY = "10001:10001"
DOCKERFILES = {"cpu": "Dockerfile.cpu", "gpu": "Dockerfile"}
MOST_MEGABYTES = {"cpu": 450, "gpu": 2600}
ENVIRONMENT = {"cpu": set(), "gpu": {"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}}
CHIPS = ("sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")

# Run with the Python of the image. The large table takes seconds, and is large enough for a device.
TABLES = """
import numpy, pyarrow, pyarrow.csv, pyarrow.parquet
numbers = numpy.random.default_rng(5)
for name, rows, columns, every in (("table", 2000, 6, 20), ("large", 300_000, 30, 3)):
    data = {f"x{j}": numbers.normal(size=rows).round(6) for j in range(columns)}
    data["kind"] = numpy.where(numpy.arange(rows) % every == 0, "rare", "common")
    if name == "table":
        pyarrow.csv.write_csv(pyarrow.table(data), "table.csv")
    else:
        pyarrow.parquet.write_table(pyarrow.table(data), "large.parquet")
"""
COMPILE = """
import io, sys, cupy.cuda.compiler
from gpusmote.backends import kernels
for path in sorted(kernels.folder().glob("*.cu")):
    for chip in sys.argv[1:]:
        program = cupy.cuda.compiler._NVRTCProgram(kernels.source(path.name), path.name, method="cubin")
        options = (*kernels.OPTIONS, "-ftz=true", f"-arch={chip}", "--device-as-default-execution-space")
        assert program.compile(options, io.StringIO())[0].startswith(b"\\x7fELF"), (path, chip)
    print(path.name)
"""
# $1 root, $2 data, $3 user, $4 working directory, then the command, which becomes process 1.
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

Line = Callable[..., list[str]]


class ImageError(Exception):
    """A build or a check failed."""


def main(given: list[str] | None = None) -> int:
    """Build and check images.

    Returns
    -------
    int
        0 if every check passed, 1 if not, or if this machine cannot build images.
    """
    parser = argparse.ArgumentParser(prog="ci/image", description=__doc__.partition("\n")[0])
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"cpu, gpu; default: both, which writes {BUILT}")
    parser.add_argument(
        "--if-changed",
        action="store_true",
        help="only if the files that they are built from have changed; status 0 if this machine cannot build images",
    )
    options = parser.parse_args(given)
    names = options.images or list(DOCKERFILES)
    if not set(names) <= set(DOCKERFILES):
        parser.error("the images are cpu and gpu")
    # SIGTERM must also remove the storage, which takes gigabytes.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if options.if_changed:
        changed = changed_inputs()
        say("changed since the images were built:" if changed else "not built: nothing has changed", *changed)
        if not changed:
            return 0
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say("not built: buildah needs root, and Debian")
        return 0 if options.if_changed else 1
    try:
        with tempfile.TemporaryDirectory(prefix="gpusmote-image-") as folder:
            Path(folder).chmod(0o755)  # the user of the container needs access to /data
            found = build_and_check(names, Path(folder))
    except ImageError as error:
        say("FAILED:", error)
        return 1
    if set(names) == set(DOCKERFILES):
        record = {"date": time.strftime("%Y-%m-%d"), "commit": commit(), "images": found, "inputs": inputs()}
        (ROOT / BUILT).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        say(f"wrote {BUILT}")
    return 0


def say(*parts: object) -> None:
    print("ci/image:", *parts, flush=True)


def call(*command: object, **options: Any) -> str:
    """Run a command and return its output.

    Raises
    ------
    ImageError
        If it fails, with the end of its output.
    """
    line = [str(part) for part in command]
    done = subprocess.run(
        line, **{"cwd": ROOT, **options}, text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        raise ImageError(
            f"{' '.join(line[:6])} ... ended with {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}"
        )
    return done.stdout.strip()


def commit() -> str:
    """The commit, with "-dirty" if the checkout differs from it; for a label of the image."""
    if not (ROOT / ".git").exists():
        return "unknown"
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, check=False).returncode
    return call("git", "rev-parse", "HEAD") + ("-dirty" if changed else "")


def inputs(root: Path = ROOT) -> dict[str, str]:
    """A hash of each file that an image is built from, except gpusmote's own code, which other tests cover."""
    files = sorted({path for pattern in INPUTS for path in root.glob(pattern)})
    contents = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    tables = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    hatch, project = tables["tool"]["hatch"], tables["project"]
    # Only the parts of pyproject.toml that change the wheel or the lock files, not settings of linters and tests.
    parts = [tables["build-system"], hatch["version"], hatch["build"]["targets"]["wheel"], project["scripts"]]
    parts += [
        project["dependencies"],
        *(project["optional-dependencies"][extra] for extra in ("cli", "files", "cuda12")),
    ]
    contents["pyproject.toml"] = json.dumps(parts, sort_keys=True).encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def changed_inputs(root: Path = ROOT) -> list[str]:
    """The inputs that were changed, added or removed since the last build of both images."""
    now, built = inputs(root), root / BUILT
    then = json.loads(built.read_text(encoding="utf-8"))["inputs"] if built.is_file() else {}
    return sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))


def host_settings(folder: Path) -> tuple[list[str], list[str]]:
    """The settings of this host for the package index, as secrets of a build.

    Returns
    -------
    options : list of str
        For ``buildah build``.
    words : list of str
        Words that no image may contain: a random word in each secret, and hosts with their passwords.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings: dict[str, str] = {}
    for line in sorted(
        listed.stdout.splitlines(), key=lambda line: line.startswith(":env:")
    ):  # the environment wins, as in pip
        key, _, value = line.partition("=")
        if key.rpartition(".")[0] in ("global", "install", ":env:"):
            settings[key.rpartition(".")[2]] = str(ast.literal_eval(value))
    # A build cannot read folders of this host.
    indexes = {
        name: " ".join(url for url in settings.get(name, "").split() if urlsplit(url).scheme in ("http", "https"))
        for name in ("index-url", "extra-index-url")
    }
    others = {
        name: settings.get(name, "") for name in ("trusted-host", "proxy", "timeout", "default-timeout", "retries")
    }
    lines = [f"{name} = {value}" for name, value in {**indexes, **others}.items() if value]
    contents = {}
    certificates = settings.get("cert") or os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    if certificates and Path(certificates).is_file():
        contents["ca_bundle"] = Path(certificates).read_text(encoding="utf-8", errors="replace")
        lines.append("cert = /run/secrets/ca_bundle")
    if lines:
        contents["pip_conf"] = "\n".join(["[global]", *lines, ""])
    options, words = [], [urlsplit(url).netloc for urls in indexes.values() for url in urls.split()]
    for name, text in contents.items():
        words.append(secrets.token_hex(16))
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(f"# {words[-1]}\n{text}", encoding="utf-8")
        options += ["--secret", f"id={name},src={folder / name}"]
    return options, words


def build_and_check(names: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Build each image in its own storage below a folder, and return the results of the checks."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        say("installing", *missing)
        quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        call("apt-get", "update", env=quietly)
        call("apt-get", "install", "--yes", "--no-install-recommends", *missing, env=quietly)
    buildah = ["buildah", "--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "vfs"]
    base = os.environ.get("BASE") or debian(buildah)
    settings, words = host_settings(folder)
    version = re.search(r'^__version__ = "(.+)"', (ROOT / "gpusmote/__init__.py").read_text(encoding="utf-8"), re.M)[1]
    labels, found = {"VERSION": version, "REVISION": commit()}, {}
    for name in names:
        say(f"building docker/{DOCKERFILES[name]}")
        start, tag = time.monotonic(), f"localhost/gpusmote:{name}"
        arguments = [f"--build-arg={key}={value}" for key, value in {**labels, "BASE": base}.items()]
        options = ["--isolation", "chroot", "--format", "docker", "--pull-never", *settings, *arguments]
        call(*buildah, "build", *options, "--file", f"docker/{DOCKERFILES[name]}", "--tag", tag, ROOT)
        config = json.loads(call(*buildah, "inspect", "--type", "image", tag))["Docker"]["config"]
        check_configuration(name, config, labels)
        container = call(*buildah, "from", "--pull-never", tag)
        root = Path(call(*buildah, "mount", container))
        data = folder / f"data-{name}"
        data.mkdir()
        data.chmod(0o777)  # another user writes there
        found[name] = check_runs(name, in_container(root, data, config), data)
        found[name]["megabytes"] = check_files(name, root, json.dumps(config), words)
        call(*buildah, "rm", container)
        call(*buildah, "rmi", tag)
        say(f"{name}: {found[name]['megabytes']} MB; {time.monotonic() - start:.0f} s")
    return found


def debian(buildah: list[Any]) -> str:
    """A base image of Debian 13 with Python 3.13, without the files that Debian's slim images omit."""
    say("making a base image by debootstrap")
    container = call(*buildah, "from", "scratch")
    root = Path(call(*buildah, "mount", container))
    mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
    call("debootstrap", "--variant=minbase", "--include=python3,python3-venv", "trixie", root, mirror)
    for part in ("share/doc", "share/man", "share/locale", "share/info", "share/lintian"):
        shutil.rmtree(root / "usr" / part, ignore_errors=True)
    for part in ("cache/apt", "lib/apt/lists", "log"):
        shutil.rmtree(root / "var" / part, ignore_errors=True)
        (root / "var" / part).mkdir()
    call(*buildah, "commit", "--rm", container, "localhost/base:trixie")
    return "localhost/base:trixie"


def in_container(root: Path, data: Path, config: dict[str, Any]) -> Line:
    """A function that returns the command for a run in the container, in its own namespaces, with a read-only root."""

    def line(*arguments: str, entrypoint: str | None = None) -> list[str]:
        return [
            *("unshare", "--mount", "--pid", "--fork", "--net", "--ipc", "--kill-child"),
            *("sh", "-ec", SANDBOX, "sandbox", str(root), str(data), config["User"], config["WorkingDir"]),
            *("env", "--ignore-environment", *config["Env"]),
            *([entrypoint] if entrypoint else config["Entrypoint"]),
            *arguments,
        ]

    return line


def check_configuration(name: str, config: dict[str, Any], labels: dict[str, str]) -> None:
    """Check the user, entrypoint, labels and environment of the image."""
    wanted = {"User": NOBODY, "Entrypoint": ["gpusmote"], "Healthcheck": None, "WorkingDir": "/data"}
    for key, value in wanted.items():
        if (config.get(key) or None) != value:
            raise ImageError(f"{name}: {key} is {config.get(key)!r}, not {value!r}")
    for key, value in labels.items():
        if config["Labels"].get(f"org.opencontainers.image.{key.lower()}") != value:
            raise ImageError(f"{name}: the label {key.lower()} is not {value!r}: {config['Labels']}")
    absent = ENVIRONMENT[name] - set(config["Env"])
    if absent:
        raise ImageError(f"{name}: the environment lacks {absent}")


def check_runs(name: str, line: Line, data: Path) -> dict[str, Any]:
    """Check that a table is resampled, the root is read-only, SIGTERM ends it, and the CPU is used without a device."""
    call(*line("-c", TABLES, entrypoint="python3"))
    report = resampled(line, "table.csv", "out.parquet")
    if (report["rows_before"], report["rows_after"]) != (2000, 3800):
        raise ImageError(f"{name}: 2,000 rows with 100 of a rare class became {report}")
    written = (data / "out.parquet").stat()
    if f"{written.st_uid}:{written.st_gid}" != NOBODY:
        raise ImageError(f"{name}: it wrote as {written.st_uid}:{written.st_gid}, not as {NOBODY}")
    attempt = "touch /opt/app/x 2>/dev/null || touch /x 2>/dev/null || echo refused"
    if call(*line("-c", attempt, entrypoint="sh")) != "refused":
        raise ImageError(f"{name}: the root file system can be written")
    check_stops(line, data)
    if name == "cpu":
        return {}
    report = resampled(line, "large.parquet", "cpu.parquet")
    if report["device"] != "cpu" or "no CUDA device" not in report["reason"]:
        raise ImageError(f"{name}: without a device: {report['device']}, {report['reason']}")
    command = line("resample", "table.csv", "--target", "kind", "--device", "cuda", "--output", "no.parquet")
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    if refused.returncode != 1 or "CUDA" not in refused.stderr or (data / "no.parquet").exists():
        raise ImageError(f"{name}: --device cuda without a device: {refused.returncode}, {refused.stderr}")
    compiled = call(*line("-c", COMPILE, *CHIPS, entrypoint="python3")).split()
    say(f"NVRTC compiled {', '.join(compiled)} for", *CHIPS)
    return {"chips": CHIPS}


def resampled(line: Line, source: str, output: str) -> dict[str, Any]:
    """Resample a table in the container, and return the report."""
    options = ("--target", "kind", "--random-state", "7", "--report", "-", "--output", output)
    report: dict[str, Any] = json.loads(call(*line("resample", source, *options)))
    return report


def check_stops(line: Line, data: Path) -> None:
    """Check that SIGTERM ends gpusmote, which is process 1, and that no files are left."""
    listed = set(os.listdir(data))
    command = line("resample", "large.parquet", "--target", "kind", "--output", "never.parquet")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        os.kill(first_process(process), signal.SIGTERM)
        error = process.communicate(timeout=30)[1]
    except subprocess.TimeoutExpired:
        raise ImageError("SIGTERM did not end the container") from None
    finally:
        process.kill()
    left = set(os.listdir(data)) - listed
    if process.returncode != 143 or "SIGTERM" not in error or left:
        raise ImageError(f"after SIGTERM: status {process.returncode}, left {left}, error {error!r}")


def first_process(unshare: subprocess.Popen) -> int:
    """The pid of process 1 of the container, the child of unshare, when it handles SIGTERM."""
    for _ in range(300):
        time.sleep(0.1)
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text().split()
            if children and handles(int(children[0]), signal.SIGTERM):
                return int(children[0])
        if unshare.poll() is not None:
            raise ImageError(f"the run to be stopped ended by itself: {unshare.communicate()[1]}")
    raise ImageError("process 1 does not handle SIGTERM")


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) >> (number - 1) & 1)


def check_files(name: str, root: Path, config: str, words: list[str]) -> int:
    """Check the size of the image, and that it contains no settings of this host; return the size in megabytes.

    The last stages of the Dockerfiles only copy files, so the layers contain nothing else.
    """
    files = [Path(folder) / file for folder, _, names in os.walk(root) for file in names]
    found = [str(file) for file in files if any(word in file.name for word in words)]
    if words:
        patterns = [part for word in words for part in ("-e", word)]
        grep = [
            "grep",
            "--recursive",
            "--files-with-matches",
            "--fixed-strings",
            "--devices=skip",
            *patterns,
            str(root),
        ]
        done = subprocess.run(grep, capture_output=True, text=True, check=False)
        found += done.stdout.splitlines() + done.stderr.splitlines()
    if found or any(word in config for word in words):
        raise ImageError(f"{name}: settings of this host are in {found or 'the configuration'}")
    megabytes = round(sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink()) / 1e6)
    if megabytes > MOST_MEGABYTES[name]:
        raise ImageError(f"{name}: {megabytes} MB, more than {MOST_MEGABYTES[name]}")
    return megabytes


if __name__ == "__main__":
    sys.exit(main())
