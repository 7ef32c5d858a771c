"""What of a recipe this version can do."""

from __future__ import annotations

from collections.abc import Mapping

from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.values.recipe import Recipe

__all__ = ["check_supported"]

_PRUNING: Mapping[str, tuple[object, ...]] = {
    "structure": ("weight", "filter"),
    "criterion": ("magnitude", "random"),
    "allocation": ("global", "uniform"),
}
_QUANTIZATION: Mapping[str, tuple[object, ...]] = {
    "activation_bits": (32,),
    "method": ("affine",),
    "observer": ("minmax",),
    "rounding": ("nearest",),
    "equalize": (False,),
    "bias_correction": (False,),
}


def check_supported(recipe: Recipe) -> None:
    """Raise UnsupportedError for a setting that is known but that this version cannot apply, with those that it can."""
    for part, known in ((recipe.pruning, _PRUNING), (recipe.quantization, _QUANTIZATION)):
        for name, values in known.items() if part is not None else ():
            value = getattr(part, name)
            if value in values or (name == "allocation" and isinstance(value, Mapping)):
                continue
            more = " or {layer: share}" if name == "allocation" else ""
            raise UnsupportedError(
                f"{name}={value!r} cannot be applied by this version yet; "
                f"it can do {' or '.join(map(repr, values))}{more}. Change the recipe."
            )
