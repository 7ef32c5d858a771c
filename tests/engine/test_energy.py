"""Energy is counts times published constants, and says so."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from oracle_plan import Small
from torch import nn

from nnwidgets.engine.compression import cost
from nnwidgets.engine.costs import Energy, energy
from nnwidgets.engine.errors import InputError
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe


def one_layer(amount: float = 0.0, bits: int = 32) -> Any:
    """Cost of 300 x 784 weights and 300 biases."""
    return cost(nn.Sequential(nn.Linear(784, 300)), (784,), Recipe(Pruning(amount), Quantization(bits)))


def test_figures_by_hand_in_32_bits() -> None:
    """235,200 multiply-accumulates at 4.6 pJ; 235,500 numbers at 640 pJ."""
    found = energy(one_layer())
    assert found.arithmetic_uj == pytest.approx(235_200 * 4.6e-6) and found.memory_uj == pytest.approx(235_500 * 640e-6)
    assert found.total_uj == pytest.approx(found.arithmetic_uj + found.memory_uj)
    assert {name: value for name, (value, _) in found.constants.items()} == {
        "float32_multiply": 3.7,
        "float32_add": 0.9,
        "dram_read_32_bits": 640,
    }
    assert all("Horowitz" in source and "2014" in source for _, source in found.constants.values())


def test_figures_by_hand_in_8_bits_on_the_chip() -> None:
    """0.23 pJ a multiply-accumulate, 5 pJ for 32 bits; biases stay at 32 bits."""
    found = energy(one_layer(bits=8), 8, memory="sram")
    assert (found.bits, found.memory) == (8, "sram")
    assert found.arithmetic_uj == pytest.approx(235_200 * 0.23e-6)
    assert found.memory_uj == pytest.approx((235_200 / 4 + 300) * 5e-6)


def test_zeros_save_only_where_they_are_skipped() -> None:
    """Dense kernels: the same figures. Nonzero: a tenth of the arithmetic, the encoded bytes."""
    dense, pruned = one_layer(), one_layer(0.9)
    a, b = energy(dense), energy(pruned)
    assert (a.arithmetic_uj, a.memory_uj) == (b.arithmetic_uj, b.memory_uj)
    assert b.arithmetic_nonzero_uj == pytest.approx(0.1 * a.arithmetic_uj)
    assert b.memory_encoded_uj == pytest.approx(pruned.bytes_encoded / 4 * 640e-6)
    assert b.total_nonzero_uj == b.arithmetic_nonzero_uj + b.memory_encoded_uj < a.total_nonzero_uj


@pytest.mark.parametrize(
    ("weights", "activations", "bits"), [(32, None, 32), (8, 32, 32), (4, None, 8), (8, 8, 8), (16, None, 16), (8, 16, 16)]
)
def test_arithmetic_is_as_wide_as_the_wider_factor(weights: int, activations: int | None, bits: int) -> None:
    """8-bit weights times 32-bit activations are float32 arithmetic."""
    assert energy(one_layer(), weights, activations).bits == bits


def test_constants_of_ones_own_are_named_as_such() -> None:
    """Another chip."""
    found = energy(one_layer(), constants={"float32_add": 0, "dram_read_32_bits": 320})
    assert found.arithmetic_uj == pytest.approx(235_200 * 3.7e-6) and found.memory_uj == pytest.approx(235_500 * 320e-6)
    assert found.constants["float32_add"] == (0.0, "given by the caller")
    assert "Horowitz" in found.constants["float32_multiply"][1]


def test_the_record_is_frozen() -> None:
    """And so is what it holds."""
    found = energy(cost(Small(), Small.shape))
    assert isinstance(found, Energy)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.bits = 8  # type: ignore[misc]
    with pytest.raises(TypeError):
        found.constants["a"] = (1.0, "")  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight_bits": 12}, "weight_bits is 12; expected 1 to 8, 16 or 32"),
        ({"weight_bits": True}, "weight_bits is True"),
        ({"activation_bits": 0}, "activation_bits is 0"),
        ({"memory": "disk"}, "memory is 'disk'; expected 'dram' or 'sram'"),
        ({"constants": {"float32_ad": 1.0}}, "did you mean .*'float32_add'"),
        ({"constants": {"float32_add": -1}}, "expected picojoules"),
        ({"constants": {"float32_add": float("nan")}}, "expected picojoules"),
    ],
)
def test_malformed_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """What was got, what was expected."""
    with pytest.raises(InputError, match=message):
        energy(one_layer(), **arguments)


def test_something_else_than_a_cost_is_refused() -> None:
    """A network has to be counted first."""
    with pytest.raises(InputError, match="expected what cost"):
        energy(nn.Linear(2, 2))  # type: ignore[arg-type]
