"""``python -m gpusmote.evaluation --gpu``, with small tables."""

from __future__ import annotations

import json
import sys

import pytest

from gpusmote.backends.cuda import CudaBackend
from gpusmote.errors import DeviceError, ParameterError
from gpusmote.evaluation import gpu
from gpusmote.evaluation.__main__ import main
from tests.standin.install import cuda

__all__ = ["cuda"]


def found(tmp_path):
    return json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))


def test_everything_is_measured_and_right(cuda, tmp_path, capsys):
    cuda()
    assert main(["--gpu", "--quick", "--json", str(tmp_path / "bench.json")]) == 0
    told = found(tmp_path)
    assert list(told["results"]) == list(gpu.MEASUREMENTS)
    assert {"device", "compute capability", "driver", "CUDA", "CuPy", "FAISS", "versions"} <= set(told["machine"])
    assert len(told["checks"]) > 20
    assert all(check["held"] for check in told["checks"])
    printed = capsys.readouterr().out
    for measurement, rows in told["results"].items():
        assert f"\n{measurement}: " in printed
        assert rows
        assert len({tuple(row) for row in rows}) == 1  # a table has one set of columns


def test_a_device_that_computes_wrongly_is_exit_status_1(cuda, monkeypatch, capsys):
    right = CudaBackend.interpolate

    def wrong(self, values, base, neighbor, gap, out):
        right(self, values, base, neighbor, gap, out)
        out[-1, -1] = 0.5

    cuda()
    monkeypatch.setattr(CudaBackend, "interpolate", wrong)
    assert main(["--gpu", "generation", "--quick"]) == 1
    assert "WRONG: float64 x 8: rows equal those of the CPU" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::gpusmote.errors.GpusmoteWarning")  # of the search without FAISS
def test_what_is_missing_is_noted(cuda, monkeypatch, tmp_path):
    cuda(faiss=False)
    monkeypatch.setitem(sys.modules, "imblearn", None)
    assert gpu.run(gpu="search,smote", quick=True, path=tmp_path / "bench.json") == 0
    told = found(tmp_path)
    assert "FAISS cannot be used here (not installed)" in told["notes"][0]
    assert "imbalanced-learn, which is not installed" in told["notes"][1]
    assert {row["bare_FAISS_s"] for row in told["results"]["search"]} == {None}


def test_results_before_a_failure_are_in_the_file(cuda, monkeypatch, tmp_path):
    def fails(on):
        yield {"figure": 1.23456}
        raise DeviceError("the device is gone")

    cuda()
    monkeypatch.setitem(gpu.MEASUREMENTS, "limits", fails)
    with pytest.raises(DeviceError, match="the device is gone"):
        gpu.run(gpu="limits", path=tmp_path / "bench.json")
    assert found(tmp_path)["results"] == {"limits": [{"figure": 1.235}]}


@pytest.mark.parametrize("quick", [True, False])
def test_targets_are_for_full_tables_only(cuda, quick):
    cuda()
    bench = gpu.DeviceBench(quick, None)
    bench.check("speed", False, "0.8, target at least 0.85", aim=True)
    assert len(bench.found["checks"]) == (not quick)


def test_an_unknown_measurement(cuda):
    with pytest.raises(ParameterError, match=r"no measurement 'sleep'.* There are limits, generation"):
        gpu.run(gpu="limits,sleep")


def test_without_a_device_the_error_lists_driver_and_packages(cuda):
    cuda(devices=0)
    with pytest.raises(DeviceError, match=r"No CUDA device can be used \(driver: .* devices that CuPy sees: 0"):
        gpu.run(quick=True)
