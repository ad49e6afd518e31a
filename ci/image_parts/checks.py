"""What an image has to show: each check raises ImageError, or says what it saw."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from image_parts import contents
from image_parts.engines import NOBODY
from image_parts.shell import ROOT, ImageError, call, say

__all__ = ["CPU", "GPU", "Image", "check", "host_python"]

TABLE = """
import sys
import numpy, pyarrow, pyarrow.csv, pyarrow.parquet
numbers = numpy.random.default_rng(5)
for name, rows, columns in (("table", 2000, 6), ("large", 300_000, 30)):
    data = {f"x{j}": numbers.normal(size=rows).round(6) for j in range(columns)}
    data["kind"] = numpy.where(numpy.arange(rows) % (20 if name == "table" else 3) == 0, "rare", "common")
    table = pyarrow.table(data)
    if name == "table":
        pyarrow.csv.write_csv(table, f"{sys.argv[1]}/{name}.csv")
    else:  # so large that a device would be taken if there was one
        pyarrow.parquet.write_table(table, f"{sys.argv[1]}/{name}.parquet")
"""
COMMAND = ("--target", "kind", "--random-state", "7", "--report", "-", "--output")


class Image:
    """One of the two images and what is asked of it."""

    def __init__(self, name: str, dockerfile: str, limit: int, environment: tuple[str, ...] = ()) -> None:
        self.name, self.dockerfile, self.limit, self.environment = name, dockerfile, limit, environment
        self.tag = f"localhost/gpusmote:{name}"


CPU = Image("cpu", "Dockerfile.cpu", 450_000_000)
NVIDIA = ("NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility")
GPU = Image("gpu", "Dockerfile", 2_600_000_000, NVIDIA)


def host_python(folder: Path) -> Path:
    """A virtual environment of this host with the locked versions and gpusmote: what the image is compared with."""
    python = folder / "host" / "bin" / "python"
    call(sys.executable, "-m", "venv", folder / "host")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    call(*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", "docker/requirements-build.txt")
    call(*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", "docker/requirements-cpu.txt")
    call(*pip, "--no-deps", "--no-build-isolation", ROOT)
    return python


def check(image: Image, engine, folder: Path, python: Path, labels: dict[str, str], needles) -> dict:
    """Every check of one image; what is worth keeping of it comes back."""
    configuration(image, engine.config(image.tag), labels)
    data = folder / f"data-{image.name}"
    data.mkdir()
    data.chmod(0o777)  # /data of the container, where another user writes
    call(python, "-c", TABLE, data)
    with engine.runnable(image.tag) as line:
        seen = {"device": same_as_host(line, data, python)}
        stops(line, data)
        if image is GPU:
            seen |= without_device(line, data)
    return seen | layers(image, engine, folder, needles)


def configuration(image: Image, config: dict, labels: dict[str, str]) -> None:
    """User, entrypoint, labels, environment, as the built image has them."""
    wanted = {"User": NOBODY, "Entrypoint": ["gpusmote"], "Healthcheck": None, "WorkingDir": "/data"}
    for name, value in wanted.items():
        if (config.get(name) or None) != value:
            raise ImageError(f"{image.name}: {name} is {config.get(name)!r}, not {value!r}")
    for name, value in labels.items():
        if config["Labels"].get(f"org.opencontainers.image.{name.lower()}") != value:
            raise ImageError(f"{image.name}: the label {name.lower()} is not {value!r}: {config['Labels']}")
    absent = set(image.environment) - set(config["Env"])
    if absent:
        raise ImageError(f"{image.name}: the environment lacks {absent}")


def same_as_host(line, data: Path, python: Path) -> str:
    """A table in, Parquet out, in the container and on the host: the same counts, the same bytes."""
    command = ["resample", "table.csv", *COMMAND]
    inside = json.loads(call(*line([*command, "container.parquet"], data)))
    outside = json.loads(call(python, "-m", "gpusmote", *command, "host.parquet", cwd=data))
    facts = ("rows_before", "rows_after", "n_synthetic", "classes", "versions")
    if [inside[fact] for fact in facts] != [outside[fact] for fact in facts]:
        raise ImageError(f"the container reports {inside}, the host {outside}")
    first, second = ((data / name).read_bytes() for name in ("container.parquet", "host.parquet"))
    if first != second:
        raise ImageError("the container's Parquet file is not the host's")
    written = (data / "container.parquet").stat()
    if os.geteuid() == 0 and (str(written.st_uid), str(written.st_gid)) != tuple(NOBODY.split(":")):
        raise ImageError(f"the container wrote as {written.st_uid}, not as {NOBODY}")
    say(
        f"{inside['rows_before']} -> {inside['rows_after']} rows, {len(first)} bytes of Parquet, the same as the host's"
    )
    read_only(line, data)
    return f"{inside['device']}: {inside['reason']}"


def read_only(line, data: Path) -> None:
    """Nothing but /tmp and /data can be written; a check of the sandbox as much as of the image."""
    attempt = "touch /opt/app/x 2>/dev/null || touch /data/../x 2>/dev/null || echo refused"
    if call(*line(["-c", attempt], data, entrypoint="sh")) != "refused":
        raise ImageError("the root file system can be written")


def stops(line, data: Path) -> None:
    """SIGTERM reaches gpusmote as process 1, which leaves nothing behind."""
    listed = set(os.listdir(data))
    process = subprocess.Popen(
        line(["resample", "large.parquet", "--target", "kind", "--output", "never.parquet"], data),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = listening(process)
    if process.poll() is not None:
        raise ImageError(f"the run to be stopped ended by itself: {process.stderr.read()}")
    begun = time.monotonic()
    os.kill(first, signal.SIGTERM)
    try:
        told = process.communicate(timeout=30)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        raise ImageError("SIGTERM did not end the container") from None
    left = set(os.listdir(data)) - listed
    if process.returncode != 143 or "SIGTERM" not in told or left:
        raise ImageError(f"after SIGTERM: status {process.returncode}, left {left}, said {told!r}")
    say(f"stopped by SIGTERM in {time.monotonic() - begun:.1f} s, status 143, nothing left")


def listening(process: subprocess.Popen) -> int:
    """The container's process 1, unshare's child, once it handles SIGTERM; or Docker's client, which passes it on."""
    pid = process.pid
    for _ in range(300):
        time.sleep(0.1)
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() != "unshare":
                time.sleep(3)  # a client hears signals at once, the container not before it has started
                return pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children and handles(int(children[0]), signal.SIGTERM):
                return int(children[0])
        if process.poll() is not None:
            return pid
    process.kill()
    raise ImageError("process 1 does not handle SIGTERM")


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) >> (number - 1) & 1)


def without_device(line, data: Path) -> dict:
    """The CPU takes over and says why; asking for the device is an error; every kernel compiles for every chip."""
    told = json.loads(call(*line(["resample", "large.parquet", *COMMAND, "fallen.parquet"], data)))
    if told["device"] != "cpu" or "no CUDA device" not in told["reason"]:
        raise ImageError(f"without a device: {told['device']}, {told['reason']}")
    say(f"{told['n_synthetic']} rows made without a device, {told['device']}: {told['reason']}")
    command = ["resample", "table.csv", "--device", "cuda", *COMMAND, "no.parquet"]
    refused = subprocess.run(line(command, data), capture_output=True, text=True, check=False)
    if refused.returncode != 1 or "CUDA" not in refused.stderr or (data / "no.parquet").exists():
        raise ImageError(f"--device cuda without a device: {refused.returncode}, {refused.stderr}")
    say(refused.stderr.strip())
    shutil.copy(Path(__file__).with_name("compile_kernels.py"), data)
    compiled = json.loads(call(*line(["-c", "exec python3 /data/compile_kernels.py"], data, entrypoint="sh")))
    say(f"NVRTC {compiled['nvrtc']} compiled {len(compiled['kernels'])} kernels for", *compiled["chips"])
    return {"nvrtc": compiled["nvrtc"], "chips": compiled["chips"]}


def layers(image: Image, engine, folder: Path, needles) -> dict:
    """Size, its parts, and that nothing of the host's settings lies in a layer."""
    archive = folder / f"{image.name}.tar"
    engine.save(image.tag, archive)
    sizes, found = contents.read(archive, needles)
    archive.unlink()
    if found:
        raise ImageError(f"{image.name}: settings of this host lie in {found}")
    total = sum(sizes.values())
    if total > image.limit:
        raise ImageError(
            f"{image.name}: {total / 1e6:.0f} MB, more than {image.limit / 1e6:.0f}: {sizes.most_common(12)}"
        )
    megabytes = {name: round(count / 1e6, 1) for name, count in sizes.most_common() if count >= 500_000}
    megabytes["others"] = round((total - sum(count for count in sizes.values() if count >= 500_000)) / 1e6, 1)
    say(f"{image.name}: {total / 1e6:.0f} MB;", ", ".join(f"{name} {size}" for name, size in megabytes.items()))
    return {"megabytes": round(total / 1e6), "parts": megabytes}
