"""The controls of the lab that make up a recipe, as traits."""

from __future__ import annotations

from typing import Any

import traitlets

from nnwidgets.widgets._bits_trait import LayerBits
from nnwidgets.widgets._lab_text import OPTIONS
from nnwidgets.widgets._structure_trait import StructureTrait

__all__ = ["RecipeTraits", "values"]


def values(name: str) -> list[Any]:
    """What a control can be set to."""
    return [choice["value"] for choice in OPTIONS[name]]


class RecipeTraits(traitlets.HasTraits):
    """The part of the lab that can be seen and set from code."""

    sparsity = traitlets.Float(0.0, min=0.0, max=0.99, help="Share removed, 0 to 0.99.").tag(sync=True)
    structure = StructureTrait("weight", help="What is removed: weight, n:m, kernel, filter, neuron or head.").tag(sync=True)
    criterion = traitlets.Enum(values("criterion"), "magnitude", help="What goes first.").tag(sync=True)
    allocation = traitlets.Union(
        [traitlets.Enum(values("allocation")), traitlets.Dict()],
        default_value="global",
        help="global, uniform, erk, sensitivity, or {layer: share}.",
    ).tag(sync=True)
    norm = traitlets.Enum([1, 2], 1, help="How units are ranked by magnitude: 1 for L1, 2 for L2.").tag(sync=True)
    weight_bits = traitlets.Union(
        [traitlets.Enum(values("weight_bits")), LayerBits()],
        default_value=32,
        help="Bits a weight: 1 to 8, or 32; or {layer: bits}.",
    ).tag(sync=True)
    activation_bits = traitlets.Enum(values("activation_bits"), 32, help="Bits of what goes into a layer: 2 to 8, or 32.").tag(
        sync=True
    )
    activation_symmetric = traitlets.Bool(False, help="The same of what goes into layers.").tag(sync=True)
    activation_observer = traitlets.Enum(values("activation_observer"), "minmax", help="What sets the range of inputs.").tag(
        sync=True
    )
    calibration_images = traitlets.Int(256, min=1, max=100_000, help="Images that ranges of inputs are from, at most.").tag(
        sync=True
    )
    granularity = traitlets.Enum(values("granularity"), "channel", help="One scale a tensor or a channel.").tag(sync=True)
    symmetric = traitlets.Bool(True, help="Symmetric levels, or affine with a zero point.").tag(sync=True)
    observer = traitlets.Enum(values("observer"), "minmax", help="What sets the range of the levels.").tag(sync=True)
    percentile = traitlets.Float(99.9, min=50.1, max=100.0, help="Per cent of the weights that the range holds.").tag(sync=True)
    range_share = traitlets.Float(1.0, min=0.05, max=1.0, help="Share of the whole range, by hand.").tag(sync=True)
    method = traitlets.Enum(
        values("method"), "affine", help="How weights become codes: affine, codebook, ternary or binary."
    ).tag(sync=True)
    equalize = traitlets.Bool(False, help="Channels are scaled alike across layers before they are rounded.").tag(sync=True)
    bias_correction = traitlets.Bool(False, help="Biases take back the mean error of rounding.").tag(sync=True)
    rounding = traitlets.Enum(values("rounding"), "nearest", help="Each weight to the nearest level, or all together.").tag(
        sync=True
    )
    power_of_two = traitlets.Bool(False, help="Steps between levels are powers of two.").tag(sync=True)
