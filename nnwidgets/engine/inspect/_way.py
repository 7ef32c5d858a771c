"""What a backward pass meets on its way from a unit to the image, read from the graph that autograd has recorded."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from nnwidgets.engine.inspect._live import Live
from nnwidgets.engine.trace import tensors_in

__all__ = ["Way", "name_of", "way_back"]

# Linear in the image, or a choice among its values that is fixed by a switch (max-pooling, sorting). All else counts as an
# activation: a new kind of node is then told as one that does not follow the rule, instead of being passed in silence.
_LINEAR_NAMES = """
    AdaptiveAvgPool2D AdaptiveAvgPool3D AdaptiveMaxPool2D AdaptiveMaxPool3D Add Addbmm Alias Amax Amin AsStrided
    AsStridedScatter AvgPool2D AvgPool3D Cat ChannelShuffle Chunk Clone Col2Im ConstantPadNd Contiguous ConvDepthwise2D
    ConvDepthwise3D CopyBackwards Cumsum DiagEmbed Diagonal Expand Fill Flip FractionalMaxPool2D FractionalMaxPool3D Gather
    Im2Col IndexAdd IndexSelect Kthvalue LazyClone Lift LiftFresh Max MaxPool2D MaxPool2DWithIndices MaxPool3DWithIndices
    Mean Median Min MkldnnAdaptiveAvgPool2D MkldnnMaxPool2D NarrowCopy NativeBatchNormLegitNoTraining Neg Permute
    PixelShuffle PixelUnshuffle ReflectionPad1D ReflectionPad2D ReflectionPad3D Repeat ReplicationPad1D ReplicationPad2D
    ReplicationPad3D ReshapeAlias ReshapeCopy Roll Rot90 Rsub Scatter ScatterAdd Select SelectScatter Slice SliceScatter
    Sort Split SplitWithSizes Squeeze Stack Sub Sum T Take ToCopy Topk Trace Transpose Tril Triu Unbind Unfold UnsafeSplit
    UnsafeSplitWithSizes UnsafeView Unsqueeze UpsampleBicubic2D UpsampleBicubic2DAa UpsampleBilinear2D UpsampleBilinear2DAa
    UpsampleLinear1D UpsampleNearest1D UpsampleNearest2D UpsampleNearestExact1D UpsampleNearestExact2D UpsampleTrilinear3D
    View Zero
"""
_LINEAR = frozenset(_LINEAR_NAMES.split())
# Linear in one factor while the other is constant: for each input of the node that is a factor, what autograd keeps of the other.
_PRODUCTS = {
    "Addmm": {1: "_saved_mat2", 2: "_saved_mat1"},
    "Addmv": {1: "_saved_vec", 2: "_saved_mat"},
    "Baddbmm": {1: "_saved_batch2", 2: "_saved_batch1"},
    "Bmm": {0: "_saved_mat2", 1: "_saved_self"},
    "Convolution": {0: "_saved_weight", 1: "_saved_input"},
    "Div": {0: "_saved_other", 1: "_saved_self"},
    "Dot": {0: "_saved_tensor", 1: "_saved_self"},
    "Mm": {0: "_saved_mat2", 1: "_saved_self"},
    "Mul": {0: "_saved_other", 1: "_saved_self"},
    "Mv": {0: "_saved_vec", 1: "_saved_self"},
}
# Linear while what chooses is constant.
_CHOICES = {"Index": "_saved_indices", "IndexPut": "_saved_indices", "MaskedFill": "_saved_mask", "Where": "_saved_condition"}
_NORMS = {
    "BatchNormWithUpdate": "batch_norm",
    "CudnnBatchNorm": "batch_norm",
    "FusedRmsNorm": "rms_norm",
    "MiopenBatchNorm": "batch_norm",
    "NativeBatchNorm": "batch_norm",
    "NativeBatchNormLegit": "batch_norm",
    "NativeGroupNorm": "group_norm",
    "NativeLayerNorm": "layer_norm",
}
_OPAQUE = "CopySlices"  # a write into a part of a tensor: what was written is only seen while a backward pass runs


@dataclass(frozen=True)
class Way:
    """Nodes between a unit and the image.

    Attributes:
        activations: how many of each name are nonlinear in the image. passed: how many of each name are so only by the image's
            own statistics, or round, and have no rule. opaque: nodes that show what they do only while they do it. thresholds:
            nodes of ``threshold`` that are not known to be ReLUs.
    """

    activations: Counter[str]
    passed: Counter[str]
    opaque: tuple[Node, ...]
    thresholds: tuple[Node, ...]


def way_back(unit: Tensor, start: Node, live: Live) -> Way | None:
    """Look at each node that a gradient passes from a unit to the image; None where no gradient gets there.

    Args:
        unit: what the backward pass starts from. start: the node of the image. live: what depends on the image.
    """
    reaching = {} if unit.grad_fn is None else _reaching(unit.grad_fn, start)
    if unit.grad_fn not in reaching:
        return None
    found: dict[str, Counter[str]] = {"activation": Counter(), "passed": Counter(), "linear": Counter(), "opaque": Counter()}
    opaque: list[Node] = []
    for node in reaching:
        if node is start:
            continue
        kind, name = _kind(node, [child in reaching for child, _ in node.next_functions], live)
        found[kind][name] += 1
        if kind == "opaque":
            opaque.append(node)
    thresholds = [node for node in reaching if live.replaces and _bare(node) == "Threshold"]
    return Way(found["activation"], found["passed"], tuple(opaque), tuple(thresholds))


def _reaching(root: Node, start: Node) -> dict[Node, None]:
    """The nodes from which ``start`` is reached, in the order of a search from ``root``; deep networks forbid recursion."""
    reaches: dict[Node, bool] = {start: True}
    found: dict[Node, None] = {start: None}
    stack: list[tuple[Node, Iterator[Any]]] = [(root, iter(root.next_functions))]
    entered = {root}
    while stack:
        node, children = stack[-1]
        for child, _ in children:
            if child is not None and child not in entered and child not in reaches:
                entered.add(child)
                stack.append((child, iter(child.next_functions)))
                break
        else:
            stack.pop()
            reaches[node] = any(reaches.get(child, False) for child, _ in node.next_functions if child is not None)
            if reaches[node]:
                found[node] = None
    return found


def _kind(node: Node, comes: list[bool], live: Live) -> tuple[str, str]:
    """What a node is ("linear", "activation", "passed" or "opaque") and its name; ``comes``: which inputs hold the image."""
    bare = _bare(node)
    if bare == _OPAQUE:
        return "opaque", bare
    if bare in _NORMS:
        trained = "BatchNorm" in bare and not getattr(node, "_saved_training", True)
        return ("linear" if trained else "passed"), _NORMS[bare]
    if bare.startswith(("FakeQuantize", "FusedMovingAvgObsFq")):
        return "passed", "fake_quantize"
    if bare in _CHOICES:
        return ("activation" if _any_live(node, _CHOICES[bare], live) else "linear"), "mask"
    if bare in _PRODUCTS:
        return _kind_of_product(node, bare, comes, live)
    return ("linear" if bare in _LINEAR else "activation"), name_of(node)


def _kind_of_product(node: Node, bare: str, comes: list[bool], live: Live) -> tuple[str, str]:
    factors = [place for place in _PRODUCTS[bare] if place < len(comes) and comes[place]]
    if len(factors) > 1 or (bare == "Div" and 1 in factors):
        return "activation", "quotient" if bare == "Div" else "product"
    masked = any(_any_live(node, _PRODUCTS[bare][place], live) for place in factors)
    return ("activation" if masked else "linear"), "mask"


def _any_live(node: Node, attribute: str, live: Live) -> bool:
    with contextlib.suppress(RuntimeError):  # written over since: the backward pass itself will say so
        return any(live.has(tensor) for tensor in tensors_in(getattr(node, attribute, None)))
    return False


def _bare(node: Node) -> str:
    """ "Relu" for ReluBackward0. A user's own autograd function has no number, and keeps its whole name."""
    return re.sub(r"Backward\d+(_copy)?$", "", node.name().rpartition("::")[2])


def name_of(node: Node) -> str:
    """The plain name of what a node differentiates: "leaky_relu" for LeakyReluBackward0."""
    bare = _bare(node)
    if bare.startswith(("ScaledDotProduct", "FlashAttention", "EfficientAttention", "CudnnAttention")):
        return "attention"
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare.removesuffix("Backward")).lower()
    return {"threshold": "relu", "prelu_kernel": "prelu"}.get(word, word)
