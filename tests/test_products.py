"""Products of states and weights are torch's own but for rounding, gradients too."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import products
from lib.models import build_model
from lib.products import FastLinear, has_fast_products, linear, speed_up_products

CPU = torch.device("cpu")
needs_products = pytest.mark.skipif(
    not has_fast_products(CPU), reason="torch has no oneDNN on this processor"
)


def gradients_of(function, states, layer, gradient) -> tuple[torch.Tensor, ...]:
    """What a linear function gives, and the gradients of states, weight and bias."""
    inputs = [tensor for tensor in (states, layer.weight, layer.bias) if tensor is not None]
    result = function(states, layer.weight, layer.bias)
    return result, *torch.autograd.grad(result, inputs, gradient)


@needs_products
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(24,), (1, 24), (700, 24), (3, 5, 24), (5, 0, 24)])
def test_products_and_gradients_are_torchs(shape, bias):
    torch.manual_seed(0)
    layer = nn.Linear(24, 40, bias=bias)
    states = torch.randn(shape, requires_grad=True)
    gradient = torch.randn(*shape[:-1], 40)
    wanted = gradients_of(F.linear, states, layer, gradient)
    rounding = max(1e-5, 1e-7 * states[..., 0].numel())  # of the longest sum, that over all rows
    for one, other in zip(gradients_of(linear, states, layer, gradient), wanted, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-5, atol=rounding)


@needs_products
def test_states_and_gradients_may_lie_in_any_order():
    torch.manual_seed(0)
    layer = nn.Linear(24, 40)
    states = torch.randn(24, 9, 5, requires_grad=True)

    def first_of_each(function):
        result = function(states.permute(2, 1, 0)[:, 0], layer.weight, layer.bias)
        return result, *torch.autograd.grad(result.sum(), (states, layer.weight, layer.bias))

    for one, other in zip(first_of_each(linear), first_of_each(F.linear), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@needs_products
def test_only_plain_products_of_32_bits_are_onednns(monkeypatch):
    computed = []
    monkeypatch.setattr(products, "_product", lambda *args: computed.append(1) or F.linear(*args))
    layer = FastLinear(4, 2)
    states = torch.randn(3, 4)
    layer(states)
    assert computed == [1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(states).dtype == torch.bfloat16
    layer.double()(states.double())
    exported = torch.export.export(FastLinear(4, 2), (states,))
    assert exported.module()(states).shape == (3, 2) and computed == [1]


def test_plain_layers_of_a_model_compute_so_and_keep_their_weights(tiny):
    class Other(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(4, 2), Other(2, 2))
    parameters = list(model.parameters())
    speed_up_products(model)
    assert [type(layer) for layer in model] == [FastLinear, Other]
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    classifier = build_model(tiny["bert"], head="cls", num_labels=2)
    linears = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    assert linears and all(type(layer) is FastLinear for layer in linears)
