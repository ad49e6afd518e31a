"""What a user gets who installs the wheel, and what importing it costs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
UNWANTED = ("cupy", "faiss", "pandas", "polars", "pyarrow", "dask", "torch", "imblearn", "matplotlib")


def python(executable: Path | str, code: str, folder: Path) -> str:
    """Standard output of a program, run outside the checkout and without its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    done = subprocess.run([executable, "-c", code], capture_output=True, text=True, cwd=folder, env=kept, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="building the wheel needs hatchling, which gpusmote[test] brings")
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", *build, str(ROOT)], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that holds the wheel and sees this one's other packages."""
    home = tmp_path_factory.mktemp("clean")
    venv.create(home, with_pip=False)
    executable = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(executable), *install], check=True)
    packages = Path(python(executable, "import sysconfig; print(sysconfig.get_path('purelib'))", home).strip())
    # A folder named in a .pth file comes last on the path, and .pth files in it are not read: NumPy and the others are
    # found there, the checkout's editable install is not.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return executable


def test_the_wheel_holds_the_package_the_kernels_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"gpusmote", wheel.name.split("-py3")[0] + ".dist-info"}
    held = {Path(name).name for name in names if name.startswith("gpusmote/kernels/")}
    assert held == {path.name for path in (ROOT / "kernels").iterdir() if path.is_file()}
    assert any(name.endswith(".cu") for name in held)
    assert any(name.endswith(".cuh") for name in held)
    assert "gpusmote/py.typed" in names
    assert not [name for name in names if "test" in name or name.endswith(".pyc")]


def test_the_installed_package_reads_its_own_kernels(installed: Path, tmp_path: Path) -> None:
    code = """
import json, gpusmote
from gpusmote.backends import kernels
folder = kernels.folder()
print(json.dumps([gpusmote.__file__, str(folder), {p.name: p.read_text() for p in folder.iterdir() if p.is_file()}]))
"""
    module, folder, texts = json.loads(python(installed, code, tmp_path))
    assert Path(module).is_relative_to(installed.parents[1])
    assert Path(folder) == Path(module).parent / "kernels"
    assert texts == {path.name: path.read_text() for path in (ROOT / "kernels").iterdir() if path.is_file()}


def test_the_installed_package_makes_the_rows_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = """
import hashlib, numpy as np
from gpusmote import SMOTE
X = np.random.default_rng(0).normal(size=(300, 5))
X_res, y_res = SMOTE(random_state=0, device="cpu").fit_resample(X, np.repeat(["a", "b"], [250, 50]))
print(len(X_res), hashlib.sha256(X_res.tobytes()).hexdigest(), (y_res == "b").sum())
"""
    rows = python(installed, code, tmp_path)
    assert rows.split()[0::2] == ["500", "250"]
    assert rows == python(sys.executable, code, ROOT)


def test_the_command_is_there(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed, "-m", "gpusmote", "--version"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.strip().startswith("0.")


def test_import_asks_for_no_optional_package(installed: Path, tmp_path: Path) -> None:
    """scikit-learn loads pandas where it finds it, so what counts is what is asked for after scikit-learn is there."""
    code = f"""
import sys
class Gate:
    asked = []
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {UNWANTED!r}:
            self.asked.append(name)
            raise ImportError(name)
sys.meta_path.insert(0, Gate())
import sklearn.base
Gate.asked.clear()
import gpusmote
print(Gate.asked)
gpusmote.SMOTE(random_state=0).fit_resample([[0.0], [1.0], [2.0]] * 6, [0, 0, 1] * 6)
"""
    assert python(installed, code, tmp_path).strip() == "[]"


def test_import_costs_little_over_scikit_learn(installed: Path, tmp_path: Path) -> None:
    code = "import time, sklearn.base; start = time.process_time(); import gpusmote; print(time.process_time() - start)"
    seconds = [float(python(installed, code, tmp_path)) for _ in range(4)][1:]  # the first one compiles
    assert statistics.median(seconds) < 0.5
