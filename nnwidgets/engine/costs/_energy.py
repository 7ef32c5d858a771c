"""What one forward pass would take in energy, by published figures of a 45 nm chip. An estimate: nothing is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nnwidgets.engine.errors import InputError, RecipeError
from nnwidgets.engine.values._fields import nearest, real
from nnwidgets.engine.values.frozen import FrozenDict
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.records import Cost

__all__ = ["Energy", "energy", "energy_of"]

_HOROWITZ = 'M. Horowitz, "Computing\'s energy problem (and what we can do about it)", ISSCC 2014: 45 nm, 0.9 V'
# Picojoules of one operation, or of one read of 32 bits.
_CONSTANTS = {
    "float32_multiply": 3.7,
    "float32_add": 0.9,
    "float16_multiply": 1.1,
    "float16_add": 0.4,
    "int8_multiply": 0.2,
    "int8_add": 0.03,
    "dram_read_32_bits": 640.0,
    "sram_read_32_bits": 5.0,
}
_ARITHMETIC = {32: "float32", 16: "float16", 8: "int8"}
_MEMORIES = ("dram", "sram")


@dataclass(frozen=True)
class Energy:
    """Estimated energy of one image at batch 1, in microjoules. Not a measurement.

    Two figures of each, since kernels decide what zeros save: dense kernels execute every multiply-accumulate and read every
    weight; ideal sparse hardware does and reads only what is not zero.

    Attributes:
        arithmetic_uj: all multiply-accumulates that dense kernels execute. arithmetic_nonzero_uj: those on nonzero weights.
        memory_uj: every parameter read once. memory_encoded_uj: the encoded network (``bytes_encoded``) read once.
        bits: of the arithmetic, 32 or 16 (float) or 8 (integer). memory: where parameters are read from, "dram" or "sram".
        constants: name -> (picojoules, source) of those that were used.
    """

    arithmetic_uj: float
    arithmetic_nonzero_uj: float
    memory_uj: float
    memory_encoded_uj: float
    bits: int
    memory: str
    constants: Mapping[str, tuple[float, str]]

    @property
    def total_uj(self) -> float:
        """Arithmetic and memory with dense kernels."""
        return self.arithmetic_uj + self.memory_uj

    @property
    def total_nonzero_uj(self) -> float:
        """Arithmetic and memory where zeros are neither multiplied nor read."""
        return self.arithmetic_nonzero_uj + self.memory_encoded_uj


def energy(
    cost: Cost,
    weight_bits: int = 32,
    activation_bits: int | None = None,
    memory: str = "dram",
    constants: Mapping[str, float] | None = None,
) -> Energy:
    """Estimate the energy of one image at batch 1 from counts and published constants (Horowitz, ISSCC 2014, 45 nm).

    Counted: each multiply-accumulate as one multiplication and one addition, and each parameter once, read from ``memory``, with
    weights at ``weight_bits`` and all else at 32 bits. Not counted: activations in memory, caches, registers, control, leakage,
    biases, normalisation and pooling. Chips since 2014 need less; ratios of two networks say more than the figures themselves.

    Args:
        cost: what `cost` gave; pruning is in its ``macs_nonzero`` and ``bytes_encoded``.
        weight_bits: 1 to 8, 16 or 32, of each weight in memory with dense kernels. ``bytes_encoded`` holds those of the recipe.
        activation_bits: of the other factor, the same bits if not given. Arithmetic is 8-bit integer where both have at most 8
            bits (fewer bits are counted as 8, accumulators too), float16 where both have at most 16, else float32.
        memory: "dram" (640 pJ for 32 bits), or "sram" for a network that fits on the chip (32 kB: 5 pJ).
        constants: picojoules of one's own, by the names in ``Energy.constants``.

    Raises:
        InputError: something else than a cost, bits or a memory that are not known, an unknown or negative constant.
    """
    if not isinstance(cost, Cost):
        raise InputError(f"cost is {type(cost).__name__}; expected what cost(model, input_shape, recipe) gives.")
    if memory not in _MEMORIES:
        raise InputError(f"memory is {memory!r}; expected 'dram' or 'sram'.")
    weights = _bits("weight_bits", weight_bits)
    bits = _arithmetic(max(weights, weights if activation_bits is None else _bits("activation_bits", activation_bits)))
    known = _constants(constants)
    kind, read = _ARITHMETIC[bits], f"{memory}_read_32_bits"
    a_mac = known[f"{kind}_multiply"][0] + known[f"{kind}_add"][0]
    in_layers = sum(layer.params for layer in cost.layers.values())
    dense_bits = weights * in_layers + 32 * (cost.params - in_layers)
    return Energy(
        arithmetic_uj=1e-6 * a_mac * cost.macs,
        arithmetic_nonzero_uj=1e-6 * a_mac * cost.macs_nonzero,
        memory_uj=1e-6 * known[read][0] * dense_bits / 32,
        memory_encoded_uj=1e-6 * known[read][0] * cost.bytes_encoded / 4,
        bits=bits,
        memory=memory,
        constants=FrozenDict({name: known[name] for name in (f"{kind}_multiply", f"{kind}_add", read)}),
    )


def energy_of(cost: Cost, recipe: Recipe) -> Energy:
    """As `energy`, with the bits that a recipe leaves; where layers differ, the most.

    Values of a codebook are floats, and multiplied as such.
    """
    rounding = recipe.quantization
    if rounding is None:
        return energy(cost)
    weights = max((rounding.bits_of(name) for name in cost.layers), default=32)
    return energy(cost, weights, 32 if rounding.method == "codebook" else rounding.activation_bits)


def _bits(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in (*range(1, 9), 16, 32):
        raise InputError(f"{name} is {value!r}; expected 1 to 8, 16 or 32.")
    return value


def _arithmetic(bits: int) -> int:
    return next(width for width in (8, 16, 32) if bits <= width)


def _constants(given: Mapping[str, float] | None) -> dict[str, tuple[float, str]]:
    found = {name: (value, _HOROWITZ) for name, value in _CONSTANTS.items()}
    for name, value in (given or {}).items():
        if name not in found:
            raise InputError(f"constants has the unknown name {name!r}; {nearest(name, found)}")
        try:
            number = real(name, value)
        except RecipeError:
            number = -1.0
        if number < 0:
            raise InputError(f"constants[{name!r}] is {value!r}; expected picojoules from 0.")
        found[name] = (number, "given by the caller")
    return found
