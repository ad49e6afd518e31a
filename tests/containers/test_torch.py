"""torch tensors on the host."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.containers import wrap_features
from gpusmote.errors import InputError, InputTypeError, NonFiniteError
from tests.containers.helpers import BACKEND, append, taken
from tests.containers.test_device_table import DTYPES, NEW, X

torch = pytest.importorskip("torch", reason="torch is not installed")


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.sampled_from(DTYPES), st.booleans())
def test_torch_tensors_come_back_as_tensors(dtype, turned):
    tensor = torch.tensor(X).to(getattr(torch, dtype))
    tensor = tensor.T.contiguous().T if turned else tensor
    before = tensor.clone()
    host = tensor.numpy()
    assert np.array_equal(taken(tensor), taken(host))
    for give in (lambda t: append(t, NEW), lambda t: wrap_features(t).only(NEW, BACKEND)):
        back = give(tensor)
        assert isinstance(back, torch.Tensor)
        assert back.dtype == tensor.dtype
        assert np.array_equal(back.numpy(), give(host))
    assert torch.equal(tensor, before)


def test_torch_is_read_without_a_copy_and_detached():
    tensor = torch.tensor(X, requires_grad=True)
    assert np.shares_memory(taken(tensor), tensor.detach().numpy())
    assert not append(tensor, NEW).requires_grad
    assert wrap_features(tensor).device == "cpu"


def test_torch_tensors_that_have_no_numpy_form():
    with pytest.raises(InputTypeError) as caught:
        wrap_features(torch.tensor(X, dtype=torch.bfloat16))
    assert caught.value.message.startswith("X is a torch.Tensor of dtype torch.bfloat16 that DLPack cannot export: ")
    assert caught.value.hint == "Convert it to a dense array with a dtype of NumPy, such as float32."
    with pytest.raises(InputTypeError, match="DLPack cannot export"):
        wrap_features(torch.tensor(X).to_sparse())
    with pytest.raises(InputTypeError, match="is on a device that gpusmote cannot read"):
        wrap_features(torch.tensor(X, device="meta"))
    with pytest.raises(InputError, match="Expected 2D array, got 1D array instead"):
        wrap_features(torch.tensor([1.0]))
    with pytest.raises(InputTypeError, match="Complex data not supported"):
        wrap_features(torch.tensor(X, dtype=torch.complex64))
    with pytest.raises(NonFiniteError, match=r"column 1 \(1 NaN\)"):
        wrap_features(torch.tensor([[0.0, float("nan")]])).check_finite()
