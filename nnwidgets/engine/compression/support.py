"""What of a recipe this version can do, and what does not go together."""

from __future__ import annotations

from collections.abc import Mapping

from nnwidgets.engine.compression.choose import UNITS
from nnwidgets.engine.errors import RecipeError, UnsupportedError
from nnwidgets.engine.pruning.criteria import CRITERIA
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe

__all__ = ["check_supported", "misfit", "misfit_bits"]

_ROUNDING = ("nearest", "adaptive")


def check_supported(recipe: Recipe) -> None:
    """Raise for a setting that is known but cannot be applied, or not with the others.

    Raises:
        UnsupportedError: this version cannot do it; those that it can are named. RecipeError: settings that do not go together.
    """
    quantization = recipe.quantization
    if quantization is not None:
        if quantization.rounding not in _ROUNDING:
            raise UnsupportedError(
                f"rounding={quantization.rounding!r} cannot be applied by this version yet; "
                f"it can do {' or '.join(map(repr, _ROUNDING))}. Change the recipe."
            )
        if why := misfit_bits(quantization):
            raise RecipeError(why)
    if recipe.pruning is not None and recipe.pruning.masks is None:
        why = misfit(recipe.pruning)
        if why:
            raise RecipeError(why)


def misfit_bits(quantization: Quantization) -> str:
    """Say which settings of a quantization exclude each other, "" where they go together."""
    if why := _misfit_steps(quantization):
        return why
    if quantization.rounding == "adaptive" and (quantization.method != "affine" or quantization.observer == "learned"):
        own = "observer='learned'" if quantization.observer == "learned" else f"method={quantization.method!r}"
        return (
            f"rounding='adaptive' chooses between the level above and the one below; {own} has a rule of its own. Use "
            "rounding='nearest', or method='affine' with another observer."
        )
    if quantization.method == "codebook" and quantization.power_of_two:
        return "method='codebook' has values at uneven places and no step; use power_of_two=False, or method='affine'."
    needed = {"ternary": 2, "binary": 1}.get(quantization.method)
    if needed is None:
        return ""
    given = quantization.weight_bits
    bits = sorted(set(given.values()) if isinstance(given, Mapping) else {given})
    if any(width not in (needed, 32) for width in bits):
        return (
            f"method={quantization.method!r} has {needed} bit{'s' if needed > 1 else ''} a weight; got weight_bits={given!r}. "
            f"Use weight_bits={needed}, or method='affine'."
        )
    if not quantization.symmetric:
        return f"method={quantization.method!r} has levels on both sides of zero and no zero point; use symmetric=True."
    return ""


def _misfit_steps(quantization: Quantization) -> str:
    """The same of steps that are learned."""
    if quantization.observer != "learned":
        if quantization.scales is None:
            return ""
        return (
            f"scales are of steps that were learned; got observer={quantization.observer!r}. Use observer='learned', or leave "
            "scales out."
        )
    for name, wanted in (("method", "affine"), ("symmetric", True), ("power_of_two", False)):
        if (got := getattr(quantization, name)) != wanted:
            return f"observer='learned' trains even, symmetric steps of any size; got {name}={got!r}. Use {name}={wanted!r}."
    return ""


def misfit(pruning: Pruning) -> str:
    """Say which settings of a pruning exclude each other, "" where they go together."""
    criterion, structure, allocation = pruning.criterion, pruning.structure, pruning.allocation
    facts = CRITERIA[criterion]
    if structure not in UNITS and not facts.single:
        units = "'filter'" if criterion == "bn_scale" else "'filter' or 'neuron'"
        return (
            f"criterion={criterion!r} judges whole units and says nothing of structure={structure!r}. Use structure={units}, "
            "or a criterion of single weights such as 'magnitude', 'taylor' or 'wanda'."
        )
    if criterion == "bn_scale" and structure != "filter":
        return (
            f"criterion='bn_scale' needs channels with a batch-norm; structure={structure!r} has none. Use structure='filter', "
            "or criterion='magnitude'."
        )
    by_weight = "allocation={!r} is a rule for single weights and kernels, not for structure={!r}. Use 'global' or 'uniform'."
    if allocation in ("erk", "sensitivity") and (structure in UNITS or ":" in structure):
        return by_weight.format(allocation, structure)
    if allocation == "normalized" and ":" in structure:
        return (
            f"allocation='normalized' ranks layers against each other; structure={structure!r} takes the same of each. "
            "Use 'global'."
        )
    return ""
