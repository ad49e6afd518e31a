"""The examples and the compose file parse, ask for a GPU, and give gpusmote arguments that it takes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gpusmote.cli import main

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: the examples cannot be parsed")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docker" / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.sh"))


def test_every_example_is_parsed_and_documented():
    assert SCRIPTS == ["docker-gpu.sh", "slurm.sh"]
    text = (ROOT / "docs" / "cloud.md").read_text()
    assert sorted(path.name for path in EXAMPLES.iterdir()) == [*SCRIPTS[:1], "kubernetes-job.yaml", *SCRIPTS[1:]]
    for path in EXAMPLES.iterdir():
        assert f"docker/examples/{path.name}" in text


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_parse(name):
    done = subprocess.run(["bash", "-n", EXAMPLES / name], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("name", "program", "passed"),
    [
        ("docker-gpu.sh", "docker", ["run", "--gpus", "all", "--read-only", "{data}:/data", "gpusmote"]),
        ("slurm.sh", "srun", ["apptainer", "run", "--nv", "{data}:/data", "gpusmote.sif"]),
    ],
)
def test_scripts_pass_the_arguments_on(name, program, passed, tmp_path):
    """With a program in the engine's place that prints what it was given."""
    (tmp_path / program).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / program).chmod(0o755)
    data = tmp_path / "with space"
    data.mkdir()
    given = ["resample", "a table.csv", "--target", "kind"]
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", EXAMPLES / name, "with space", *given]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    seen = done.stdout.splitlines()
    assert seen[-len(given) :] == given
    assert {part.format(data=data) for part in passed} <= set(seen)


def job() -> dict:
    return yaml.safe_load((EXAMPLES / "kubernetes-job.yaml").read_text())


def test_the_job_asks_for_a_gpu_and_for_nothing_more():
    described = job()
    assert (described["apiVersion"], described["kind"]) == ("batch/v1", "Job")
    pod = described["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    (rule,) = described["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]


def test_the_job_s_arguments_are_ones_that_gpusmote_takes(tmp_path, monkeypatch, capsys):
    """Run as they stand, on the CPU."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.normal(size=60), "y": rng.normal(size=60), "class": [0] * 50 + [1] * 10})
    parquet.write_table(table, tmp_path / "table.parquet")
    monkeypatch.chdir(tmp_path)
    (container,) = job()["spec"]["template"]["spec"]["containers"]
    given = [argument.replace("--device=cuda", "--device=cpu") for argument in container["args"]]
    assert given != container["args"]
    assert main(given) == 0, capsys.readouterr().err
    assert parquet.read_table(tmp_path / "out.parquet").num_rows == 100


def test_compose_reserves_a_gpu():
    (service,) = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"].values()
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert service["read_only"]
    assert (ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
