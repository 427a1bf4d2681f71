"""The machine that a run's record names."""

import pytest
import torch

from lib.runs.machine import environment


@pytest.mark.parametrize(
    ("precision", "device"),
    [("highest", "A GPU"), ("high", "A GPU (fp32 products in TF32)")],
)
def test_a_gpu_whose_products_are_rounded_is_said_to_be(monkeypatch, precision, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: precision)

    assert environment()["device"] == device
