"""The fingerprints notice a change of the network, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nnwidgets.engine.trace import fingerprint, quick_fingerprint


def net() -> nn.Sequential:
    """Always the same numbers, without touching the global random state."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator))
    return model


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    "one weight in place": lambda m: m[4].weight.detach()[0, 0].add_(1),
    "one bit": lambda m: m[4].weight.detach().view(torch.int32)[1, 2].bitwise_xor_(1),
    "all weights through data": lambda m: m[0].weight.data.mul_(1.01),
    "another parameter": lambda m: setattr(m[4], "weight", nn.Parameter(m[4].weight.detach() + 1)),
    "a buffer": lambda m: m[1].running_mean.add_(1),
    "the step counter": lambda m: m[1].num_batches_tracked.add_(1),
    "train mode of one module": lambda m: m[1].eval(),
    "a frozen parameter": lambda m: m[0].weight.requires_grad_(False),
    "a forward hook": lambda m: m[2].register_forward_hook(lambda *_: None),
    "a pre-hook": lambda m: m[2].register_forward_pre_hook(lambda *_: None),
    "another layer": lambda m: m.append(nn.ReLU()),
}


@pytest.mark.parametrize("print_of", [fingerprint, quick_fingerprint])
@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_noticed(change: str, print_of: Callable[[nn.Module], str]) -> None:
    """In place, through ``.data``, by replacement, flags and hooks."""
    model = net()
    before = print_of(model)
    CHANGES[change](model)
    assert print_of(model) != before


@pytest.mark.parametrize("print_of", [fingerprint, quick_fingerprint])
def test_nothing_else_is_noticed(print_of: Callable[[nn.Module], str]) -> None:
    """A forward pass in eval mode, a hook that came and went, a gradient."""
    model = net().eval()
    before = print_of(model)
    model(torch.rand(2, 1, 4, 4)).sum().backward()
    model[2].register_forward_hook(lambda *_: None).remove()
    assert print_of(model) == before == print_of(model)


def test_copies_have_one_fingerprint_and_other_networks_another() -> None:
    """It is of the content, not of the place in memory; the class of a module counts."""
    model = net()
    assert fingerprint(copy.deepcopy(model)) == fingerprint(model) == fingerprint(net())
    model[2] = nn.GELU()
    assert fingerprint(model) != fingerprint(net())


def test_equal_bytes_of_another_type_or_shape_differ() -> None:
    """Types and shapes are part of it."""
    as_float, as_int, flat = nn.Module(), nn.Module(), nn.Module()
    as_float.register_buffer("x", torch.zeros(2, 2))
    as_int.register_buffer("x", torch.zeros(2, 2, dtype=torch.int32))
    flat.register_buffer("x", torch.zeros(4))
    assert len({fingerprint(m) for m in (as_float, as_int, flat)}) == 3


@given(st.integers(0, 47), st.integers(0, 31))
def test_any_single_bit_of_a_weight_is_noticed(index: int, bit: int) -> None:
    """The full fingerprint reads every byte."""
    model = net()
    before = fingerprint(model)
    model[4].weight.detach().view(torch.int32).view(-1)[index].bitwise_xor_(-(2**31) if bit == 31 else 1 << bit)
    assert fingerprint(model) != before


@pytest.mark.parametrize("print_of", [fingerprint, quick_fingerprint])
def test_unusual_tensors_have_fingerprints(print_of: Callable[[nn.Module], str]) -> None:
    """bfloat16, empty, zero-dimensional, transposed, sparse, meta, made in inference mode."""
    model = nn.Module()
    with torch.inference_mode():
        model.register_buffer("inference", torch.ones(2))
    model.register_buffer("nothing", None)
    model.register_buffer("empty", torch.zeros(0, 3))
    model.register_buffer("number", torch.tensor(3))
    model.register_buffer("flag", torch.tensor([True, False]))
    model.register_buffer("turned", torch.rand(3, 4).t())
    model.register_buffer("bf16", torch.ones(3, dtype=torch.bfloat16))
    model.register_buffer("sparse", torch.eye(3).to_sparse())
    model.register_buffer("meta", torch.zeros(2, device="meta"))
    before = print_of(model)
    assert print_of(model) == before
    model.bf16.add_(1)
    assert print_of(model) != before
