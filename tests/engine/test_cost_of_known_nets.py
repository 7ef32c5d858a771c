"""E.cost against torch's own FLOP counter on meta tensors, halved, on torchvision networks."""

from __future__ import annotations

import pytest
import torch
import torchvision
from test_cost import NETS
from torch.utils.flop_counter import FlopCounterMode

from nnwidgets import engine as E  # noqa: N812

GIGA = {"vgg16": 15.470, "resnet18": 1.814, "mobilenet_v2": 0.3008, "vit_b_16": 17.564}


@pytest.mark.parametrize("name", NETS)
def test_macs_equal_half_the_flops_that_torch_counts(name: str) -> None:
    """Biases, normalisation and pooling count for neither; the difference is 0, the issue allows 0.1 %."""
    options = {"init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None, **options).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, 224, 224))
    found = E.cost(model, (3, 224, 224))
    assert found.macs == pytest.approx(counter.get_total_flops() / 2, rel=1e-3)
    assert found.flops == 2 * found.macs
    assert found.params == sum(parameter.numel() for parameter in model.parameters())
    if name in GIGA:
        assert found.macs / 1e9 == pytest.approx(GIGA[name], rel=1e-3)
