"""gpusmote imports no optional library to find out the type of a container."""

from __future__ import annotations

import subprocess
import sys

import pytest

# scikit-learn imports pandas and its dependencies if they are installed: while it is imported, they are reported as
# missing, and afterwards every attempt to import one of them is an error.
REFUSE = """
import sys

class Refuse:
    error = ModuleNotFoundError

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pandas", "polars", "pyarrow", "torch", "cupy", "cupyx", "jax", "dask", "faiss"):
            raise self.error(f"{name} is imported")

sys.meta_path.insert(0, Refuse())
import sklearn.base, sklearn.utils._param_validation
Refuse.error = RuntimeError
"""
USE = """
import numpy, scipy.sparse
from gpusmote.containers import wrap_features, wrap_target
from gpusmote.backends import Backend

X = numpy.eye(3)
for table in (X, X.tolist(), X.astype(object), scipy.sparse.csr_array(X)):
    wrapped = wrap_features(table)
    wrapped.check_finite()
    wrapped.append(1, lambda start, stop, out: out.fill(0), Backend())
for y in ([0, 1, 0], numpy.array(["a", "b", "a"]), scipy.sparse.csr_array(X)):
    target = wrap_target(y, 3)
    target.append(target.codes)
for bad in (None, "text", {}, numpy.zeros(3)):
    for wrap in (wrap_features, lambda y: wrap_target(y, 4)):
        try:
            wrap(bad)
        except ValueError:
            pass
"""


@pytest.mark.parametrize("work", ["import gpusmote.containers", USE])
def test_no_library_is_imported_that_the_caller_has_not(work):
    done = subprocess.run([sys.executable, "-c", REFUSE + work], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_refusal_itself_works():
    done = subprocess.run([sys.executable, "-c", REFUSE + "import polars"], capture_output=True, text=True, check=False)
    assert "RuntimeError: polars is imported" in done.stderr
