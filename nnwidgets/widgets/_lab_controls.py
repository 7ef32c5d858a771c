"""What the lab's controls say as a recipe, and a recipe as the controls show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe

__all__ = ["BITS_OF", "CONTROLS", "controls_of", "fitted", "grid_of", "recipe_of"]

CONTROLS = (
    "sparsity",
    "structure",
    "criterion",
    "allocation",
    "norm",
    "weight_bits",
    "activation_bits",
    "granularity",
    "symmetric",
    "observer",
    "percentile",
    "range_share",
    "power_of_two",
    "method",
    "activation_symmetric",
    "activation_observer",
    "calibration_images",
    "equalize",
    "bias_correction",
    "rounding",
)
BITS_OF = {"ternary": 2, "binary": 1}
"""Ways to round that have their own number of bits."""
_CODEBOOK_BITS = 5  # where weights are not rounded yet: as Han et al. 2016 for linear layers
_OF_LEARNED = {"method": "affine", "symmetric": True, "power_of_two": False}  # what steps that are learned go with
_LEVELS = ("granularity", "symmetric", "observer", "percentile", "range_share", "power_of_two")
_GRID = (*_LEVELS, "method", "activation_symmetric", "activation_observer", "calibration_images")
_REMEDIES = ("equalize", "bias_correction", "rounding")
_LARGEST = 0.99  # end of the slider


def recipe_of(controls: Mapping[str, Any], present: Recipe) -> Recipe:
    """The recipe that the controls stand for. What they do not show is kept from the present one, masks excepted, and learned
    scales only where nothing moved that they were found for.

    Args:
        controls: a value for each name in ``CONTROLS``; present: the recipe that they are moved away from.
    """
    allocation, amount = controls["allocation"], controls["sparsity"]
    by_hand = isinstance(allocation, Mapping)
    removes = amount > 0 or (by_hand and any(share > 0 for share in allocation.values()))
    pruning = quantization = None
    if removes:
        pruning = replace(
            present.pruning or Pruning(0.0),
            amount=amount,
            structure=controls["structure"],
            criterion=controls["criterion"],
            allocation=dict(allocation) if by_hand else allocation,
            norm=controls["norm"],
            masks=None,
        )
    bits = controls["weight_bits"]
    of_weights = any(width < 32 for width in bits.values()) if isinstance(bits, Mapping) else bits < 32
    if of_weights or controls["activation_bits"] < 32:
        named = {name: controls[name] for name in ("weight_bits", "activation_bits", *_GRID, *_REMEDIES)}
        if not of_weights:
            named |= {"weight_bits": 32, "method": "affine"}
        quantization = (present.quantization or Quantization()).moved(**named)
    return Recipe(pruning, quantization)


def fitted(controls: Mapping[str, Any], moved: str) -> dict[str, Any]:
    """What has to follow the control that moved: a way to round brings its bits, and other bits or levels bring even steps back;
    steps that are learned bring levels that they go with, and other levels bring min-max back. What has a rule of its own is not
    rounded together.
    """
    now = dict(controls)
    bits = BITS_OF.get(now["method"])
    if bits is not None and (now["weight_bits"] != bits or not now["symmetric"]):
        now |= {"weight_bits": bits, "symmetric": True} if moved == "method" else {"method": "affine"}
    if now["method"] == "codebook":
        now |= {"power_of_two": False} if moved == "method" else {}
        now |= {"weight_bits": _CODEBOOK_BITS} if moved == "method" and now["weight_bits"] == 32 else {}
        now |= {"method": "affine"} if now["power_of_two"] else {}
    if now["observer"] == "learned" and any(now[name] != value for name, value in _OF_LEARNED.items()):
        now |= _OF_LEARNED if moved == "observer" else {"observer": "minmax"}
    if now["rounding"] == "adaptive" and (now["method"] != "affine" or now["observer"] == "learned"):
        observer = "minmax" if now["observer"] == "learned" else now["observer"]
        now |= {"method": "affine", "observer": observer} if moved == "rounding" else {"rounding": "nearest"}
    return {name: value for name, value in now.items() if value != controls[name]}


def grid_of(controls: object) -> Quantization:
    """How weights and inputs are rounded by the controls, all but the bits and what makes up for rounding.

    Args:
        controls: the lab, with its traits.
    """
    named = {name: getattr(controls, name) for name in _GRID}
    return Quantization(**{**named, "method": "affine" if named["method"] in BITS_OF else named["method"]})


def controls_of(recipe: Recipe, allocation: object) -> dict[str, Any]:
    """What the controls show of a recipe; those that it says nothing about are left out.

    Args:
        allocation: what the control shows now: shares by hand end where nothing is removed.
    """
    pruning, quantization = recipe.pruning, recipe.quantization
    shown: dict[str, Any] = {"sparsity": 0.0, "weight_bits": 32, "activation_bits": 32}
    if pruning is None:
        shown.update({} if isinstance(allocation, str) else {"allocation": "global"})
    else:
        shown.update(
            sparsity=min(pruning.amount, _LARGEST),
            structure=pruning.structure,
            criterion=pruning.criterion,
            norm=pruning.norm,
            allocation=pruning.allocation if isinstance(pruning.allocation, str) else dict(pruning.allocation),
        )
    shown |= {"method": "affine"}
    if quantization is not None:
        shown.update({name: getattr(quantization, name) for name in ("activation_bits", *_GRID, *_REMEDIES)})
        bits = quantization.weight_bits
        shown["weight_bits"] = bits if isinstance(bits, int) else dict(bits)
    return shown
