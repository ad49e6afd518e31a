"""ci/image without building: what it mounts, what it looks for, when it builds."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
LISTED = """\
global.index-url='https://elsewhere.example/simple'
:env:.index-url='https://user:word@mirror.example/simple'
global.extra-index-url='file:///opt/index https://more.example/simple'
global.find-links='/opt/wheels'
global.constraint='/etc/constraints.txt'
install.trusted-host='mirror.example'
list.format='columns'
"""


@pytest.fixture
def pip_says(image, monkeypatch):
    """Sets what ``pip config list`` prints."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return lambda text: monkeypatch.setattr(image.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=text))


def test_settings_that_a_build_can_follow_are_mounted(image, tmp_path, pip_says):
    bundle = tmp_path / "host.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n")
    pip_says(f"{LISTED}global.cert='{bundle}'\n")
    options, words = image.host_settings(tmp_path)
    mounted = {name: tmp_path / name for name in ("ca_bundle", "pip_conf")}
    assert options == [part for name, file in mounted.items() for part in ("--secret", f"id={name},src={file}")]
    assert {file.stat().st_mode & 0o077 for file in mounted.values()} == {0}
    lines = mounted["pip_conf"].read_text().splitlines()
    assert lines[1:] == [
        "[global]",
        "index-url = https://user:word@mirror.example/simple",
        "extra-index-url = https://more.example/simple",
        "trusted-host = mirror.example",
        "cert = /run/secrets/ca_bundle",
    ]
    assert set(words[:2]) == {"user:word@mirror.example", "more.example"}
    assert [file.read_text().splitlines()[0] for file in mounted.values()] == [f"# {word}" for word in words[2:]]


def test_a_host_without_settings_mounts_nothing(image, tmp_path, pip_says):
    pip_says("")
    assert image.host_settings(tmp_path) == ([], [])


@pytest.mark.parametrize("where", ["content", "name", "configuration"])
def test_a_word_of_the_hosts_settings_is_a_failure(image, tmp_path, where):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / ("a-word" if where == "name" else "pip.conf")).write_text(
        "index = user:word@mirror" if where == "content" else "nothing"
    )
    config = '{"Env": ["word"]}' if where == "configuration" else "{}"
    with pytest.raises(image.ImageError, match=r"settings of this host are in .*(pip.conf|a-word|configuration)"):
        image.check_files("cpu", tmp_path, config, ["absent", "word"])
    assert image.check_files("cpu", tmp_path, config, ["absent"]) == 0


def test_an_image_that_has_grown_is_a_failure(image, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(bytes(2_000_000))
    (tmp_path / "link").symlink_to("file")
    assert image.check_files("cpu", tmp_path, "{}", []) == 2
    monkeypatch.setitem(image.MOST_MEGABYTES, "cpu", 1)
    with pytest.raises(image.ImageError, match="cpu: 2 MB, more than 1"):
        image.check_files("cpu", tmp_path, "{}", [])


LABELS = {"VERSION": "1.2", "REVISION": "abc"}
CONFIG = {
    "User": "10001:10001",
    "Entrypoint": ["gpusmote"],
    "WorkingDir": "/data",
    "Env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"],
    "Labels": {"org.opencontainers.image.version": "1.2", "org.opencontainers.image.revision": "abc"},
}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"User": ""},
        {"User": "root"},
        {"Entrypoint": ["sh", "-c", "gpusmote"]},
        {"Healthcheck": {"Test": ["CMD", "true"]}},
        {"Env": ["NVIDIA_VISIBLE_DEVICES=all"]},
        {"Labels": {**CONFIG["Labels"], "org.opencontainers.image.version": ""}},
    ],
)
def test_a_configuration_is_as_it_is_wanted(image, wrong):
    if not wrong:
        image.check_configuration("gpu", CONFIG, LABELS)
        return
    with pytest.raises(image.ImageError, match="gpu: "):
        image.check_configuration("gpu", {**CONFIG, **wrong}, LABELS)


@pytest.fixture
def checkout(image, tmp_path):
    """A copy of what goes into the images, as it was at the last run of both."""
    for name in image.inputs():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / image.BUILT).write_text(json.dumps({"inputs": image.inputs(tmp_path)}))
    return tmp_path


@pytest.mark.parametrize("name", ["docker/Dockerfile.cpu", "docker/requirements-cpu.txt", ".dockerignore"])
def test_a_changed_input_is_named(image, checkout, name):
    assert image.changed_inputs(checkout) == []
    with (checkout / name).open("a") as file:
        file.write("\n")
    assert image.changed_inputs(checkout) == [name]


def test_inputs_that_come_and_go_are_named(image, checkout):
    (checkout / "docker" / "slim.py").unlink()
    (checkout / "docker" / "more.sh").touch()
    assert image.changed_inputs(checkout) == ["docker/more.sh", "docker/slim.py"]


def test_of_pyproject_only_what_makes_the_image_counts(image, checkout):
    file = checkout / "pyproject.toml"
    text = file.read_text()
    file.write_text(text + "\n[tool.other]\nx = 1\n")
    assert image.changed_inputs(checkout) == []
    file.write_text(text.replace('"numpy>=2.0"', '"numpy>=2.1"'))
    assert image.changed_inputs(checkout) == ["pyproject.toml"]


@pytest.fixture(autouse=True)
def sigterm_as_before():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_machine_that_cannot_build_says_so(image, monkeypatch, capsys):
    monkeypatch.setattr(image.shutil, "which", lambda name: None)
    monkeypatch.setattr(image, "changed_inputs", lambda: ["docker/Dockerfile"])
    assert image.main(["cpu", "--if-changed"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ci/image: changed since the images were built: docker/Dockerfile",
        "ci/image: not built: buildah needs root, and Debian",
    ]
    assert image.main(["cpu"]) == 1


def test_unchanged_images_are_not_built(image, monkeypatch, capsys):
    monkeypatch.setattr(image, "changed_inputs", list)
    monkeypatch.setattr(image, "build_and_check", lambda *_: pytest.fail("it was built"))
    assert image.main(["cpu", "--if-changed"]) == 0
    assert capsys.readouterr().out == "ci/image: not built: nothing has changed\n"


@pytest.mark.parametrize(("names", "written"), [(["cpu"], False), ([], True), (["gpu", "cpu"], True)])
def test_a_run_of_both_is_recorded(image, monkeypatch, tmp_path, names, written):
    monkeypatch.setattr(image.os, "geteuid", lambda: 0)
    monkeypatch.setattr(image.shutil, "which", lambda name: name)
    monkeypatch.setattr(image, "ROOT", tmp_path)
    monkeypatch.setattr(image, "inputs", lambda: {"a": "b"})
    monkeypatch.setattr(image, "build_and_check", lambda names, folder: {name: {"megabytes": 1} for name in names})
    (tmp_path / "docker").mkdir()
    assert image.main(names) == 0
    assert (tmp_path / image.BUILT).exists() is written
    if written:
        record = json.loads((tmp_path / image.BUILT).read_text())
        assert record["inputs"] == {"a": "b"}
        assert set(record["images"]) == {"cpu", "gpu"}


def test_a_check_that_does_not_hold_is_status_1(image, monkeypatch, capsys):
    def fails(names, folder):
        raise image.ImageError("cpu: too large")

    monkeypatch.setattr(image.os, "geteuid", lambda: 0)
    monkeypatch.setattr(image.shutil, "which", lambda name: name)
    monkeypatch.setattr(image, "build_and_check", fails)
    assert image.main(["cpu"]) == 1
    assert capsys.readouterr().out == "ci/image: FAILED: cpu: too large\n"


def test_a_command_that_fails_is_told_with_what_it_printed(image):
    with pytest.raises(image.ImageError, match=r"sh -c .* ended with 3\nthe reason"):
        image.call("sh", "-c", "echo the reason; exit 3")


def test_a_handler_for_a_signal_is_seen(image):
    assert not image.handles(os.getpid(), signal.SIGUSR2)
    before = signal.signal(signal.SIGUSR2, lambda number, frame: None)
    try:
        assert image.handles(os.getpid(), signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
