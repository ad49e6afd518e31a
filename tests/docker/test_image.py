"""ci/image without building: what it mounts, what it looks for, when it builds."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_parts import checks, contents, engines, main, mirror, stamp
from image_parts.shell import ROOT, ImageError, NoEngineError

LISTED = """\
:env:.index-url='https://user:word@mirror.example/simple'
global.index-url='https://elsewhere.example/simple'
global.extra-index-url='file:///opt/index https://more.example/simple'
global.find-links='/opt/wheels'
global.constraint='/etc/constraints.txt'
install.trusted-host='mirror.example'
list.format='columns'
"""


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host behind a mirror with a certificate of its own."""
    bundle = tmp_path / "host.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n")
    listed = f"{LISTED}global.cert='{bundle}'\n"
    monkeypatch.setattr(mirror.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=listed))
    (tmp_path / "secrets").mkdir()
    return mirror.host_mirror(tmp_path / "secrets")


def test_settings_that_a_build_can_follow_are_mounted(host):
    text = host.secrets["pip_conf"].read_text()
    assert text.splitlines()[1:] == [
        "[global]",
        "index-url = https://user:word@mirror.example/simple",
        "extra-index-url = https://more.example/simple",
        "trusted-host = mirror.example",
        "cert = /run/secrets/ca_bundle",
    ]
    assert host.secrets["ca_bundle"].read_text().endswith("-----BEGIN CERTIFICATE-----\n")
    assert {file.stat().st_mode & 0o077 for file in host.secrets.values()} == {0}


def test_each_mounted_file_is_known_again(host):
    for file in host.secrets.values():
        assert contents.search(io.BytesIO(file.read_bytes()), host.needles)
    assert b"user:word@mirror.example" in host.needles
    assert b"" not in host.needles


def test_a_host_without_settings_mounts_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(mirror.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=""))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert mirror.host_mirror(tmp_path) == mirror.Mirror({}, ())


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.binary(min_size=1, max_size=6), st.binary(max_size=40), st.binary(max_size=40), st.integers(1, 9))
def test_search_finds_across_blocks(needle, before, after, block):
    kept, contents.BLOCK = contents.BLOCK, block
    try:
        assert contents.search(io.BytesIO(before + needle + after), (b"absent" * 9, needle))
        text = before + after
        assert contents.search(io.BytesIO(text), (needle,)) == (needle in text)
    finally:
        contents.BLOCK = kept


def archive(path, layers: list[dict[str, bytes]], config: bytes = b"{}"):
    """What ``docker save`` writes."""

    def add(tar, name, content):
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))

    with tarfile.open(path, "w") as image:
        names = []
        for number, files in enumerate(layers):
            packed = io.BytesIO()
            # Engines save layers plain or compressed.
            with tarfile.open(fileobj=packed, mode="w:gz" if number % 2 else "w") as layer:
                for name, content in files.items():
                    add(layer, name, content)
            names.append(f"{number}.tar")
            add(image, names[-1], packed.getvalue())
        add(image, "config.json", config)
        add(image, "manifest.json", json.dumps([{"Config": "config.json", "Layers": names}]).encode())
    return path


def test_sizes_by_part_and_words_in_any_layer(tmp_path):
    site = "opt/gpusmote/lib/python3.13/site-packages"
    file = archive(
        tmp_path / "image.tar",
        [
            {"usr/bin/python3": b"12", "etc/pip.conf": b"from word here"},
            {f"{site}/scipy.libs/a.so": b"123", f"{site}/scipy/b.py": b"1", f"{site}/cupyx/c.py": b"4444"},
            {"opt/app/gpusmote/x.py": b"55555", f"{site}/nvidia/cublas/lib/l.so": b"666666"},
        ],
    )
    sizes, found = contents.read(file, [b"word"])
    assert sizes == {"base": 16, "scipy": 4, "cupy": 4, "gpusmote": 5, "nvidia/cublas": 6}
    assert found == ["etc/pip.conf"]
    assert contents.read(file, [b"x.py", b"666666"])[1] == ["opt/app/gpusmote/x.py", f"{site}/nvidia/cublas/lib/l.so"]
    assert contents.read(archive(tmp_path / "b.tar", [], b'{"Env": ["word"]}'), [b"word"])[1]


def test_a_layer_with_a_setting_of_the_host_is_a_failure(tmp_path):
    engine = SimpleNamespace(save=lambda tag, file: archive(file, [{"etc/pip.conf": b"a word"}]))
    with pytest.raises(ImageError, match=r"settings of this host lie in \['etc/pip.conf'\]"):
        checks.layers(checks.CPU, engine, tmp_path, [b"word"])


def test_an_image_that_has_grown_is_a_failure(tmp_path):
    engine = SimpleNamespace(save=lambda tag, file: archive(file, [{"a": bytes(100)}]))
    assert checks.layers(checks.CPU, engine, tmp_path, [])["parts"] == {"others": 0.0}
    with pytest.raises(ImageError, match="small: 0 MB, more than 0"):
        checks.layers(checks.Image("small", "Dockerfile", 99), engine, tmp_path, [])


LABELS = {"VERSION": "1.2", "REVISION": "abc"}
CONFIG = {
    "User": "10001:10001",
    "Entrypoint": ["gpusmote"],
    "WorkingDir": "/data",
    "Env": ["PATH=/bin", *checks.GPU.environment],
    "Labels": {"org.opencontainers.image.version": "1.2", "org.opencontainers.image.revision": "abc"},
}


def test_the_configuration_that_is_wanted():
    checks.configuration(checks.GPU, CONFIG, LABELS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"User": ""},
        {"User": "root"},
        {"Entrypoint": ["sh", "-c", "gpusmote"]},
        {"Healthcheck": {"Test": ["CMD", "true"]}},
        {"Env": ["NVIDIA_VISIBLE_DEVICES=all"]},
        {"Labels": {**CONFIG["Labels"], "org.opencontainers.image.version": ""}},
    ],
)
def test_configurations_that_are_not(wrong):
    with pytest.raises(ImageError, match="gpu: "):
        checks.configuration(checks.GPU, {**CONFIG, **wrong}, LABELS)


@pytest.fixture
def checkout(tmp_path):
    """A copy of what goes into the images, with the stamp of a run."""
    for name in stamp.inputs():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    record = {"inputs": stamp.inputs(tmp_path), "date": "2026-01-02", "commit": "0" * 40, "images": {}}
    (tmp_path / stamp.FILE).write_text(json.dumps(record))
    return tmp_path


def test_nothing_changed(checkout):
    assert stamp.changed(checkout) == []


@pytest.mark.parametrize("name", ["docker/Dockerfile.cpu", "docker/requirements-cpu.txt", ".dockerignore"])
def test_a_changed_input_is_named(checkout, name):
    with (checkout / name).open("a") as file:
        file.write("\n")
    assert stamp.changed(checkout) == [name]


def test_inputs_that_come_and_go_are_named(checkout):
    (checkout / "docker" / "slim.py").unlink()
    (checkout / "docker" / "more.sh").touch()
    assert stamp.changed(checkout) == ["docker/more.sh", "docker/slim.py"]


def test_of_pyproject_only_what_makes_the_image_counts(checkout):
    file = checkout / "pyproject.toml"
    text = file.read_text()
    file.write_text(text + "\n[tool.other]\nx = 1\n")
    assert stamp.changed(checkout) == []
    file.write_text(text.replace('"numpy>=2.0"', '"numpy>=2.1"'))
    assert stamp.changed(checkout) == ["pyproject.toml"]


@pytest.fixture(autouse=True)
def sigterm_as_before():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_machine_that_cannot_build_says_so(monkeypatch, capsys):
    def none(folder):
        raise NoEngineError("no engine")

    monkeypatch.setattr(main, "engine", none)
    monkeypatch.setattr(main.stamp, "changed", lambda: ["docker/Dockerfile"])
    assert main.main(["cpu", "--if-changed"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "ci/image: changed since the images were built: docker/Dockerfile",
        "ci/image: not built: no engine",
    ]
    assert main.main(["cpu"]) == 1


def test_unchanged_images_are_not_built(monkeypatch, capsys):
    last = {"date": "2026-01-02", "commit": "0" * 40, "images": {"cpu": {"megabytes": 431}}}
    monkeypatch.setattr(main.stamp, "changed", list)
    monkeypatch.setattr(main.stamp, "read", lambda: last)
    monkeypatch.setattr(main, "engine", lambda folder: pytest.fail("an engine was looked for"))
    assert main.main(["--if-changed"]) == 0
    assert "as on 2026-01-02, at 000000000000 (cpu 431 MB)" in capsys.readouterr().out


def test_without_root_and_without_an_engine(monkeypatch, tmp_path):
    monkeypatch.setattr(engines.shutil, "which", lambda name: None)
    with pytest.raises(NoEngineError, match="no Docker or Podman answers"):
        engines.engine(tmp_path)


def test_a_handler_for_a_signal_is_seen():
    assert not checks.handles(os.getpid(), signal.SIGUSR2)
    before = signal.signal(signal.SIGUSR2, lambda number, frame: None)
    try:
        assert checks.handles(os.getpid(), signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_docker_runs_as_strictly_as_the_sandbox(tmp_path):
    with engines.Docker("podman").runnable("tag") as line:
        command = line(["info"], tmp_path, entrypoint="sh")
    assert command[:2] == ["podman", "run"]
    assert {"--rm", "--read-only", "none", "/tmp", f"{tmp_path}:/data"} <= set(command)
    assert command[-4:] == ["--entrypoint", "sh", "tag", "info"]
