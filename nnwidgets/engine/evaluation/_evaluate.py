"""The exact accuracy of a network on a sample."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import parametrize

from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.evaluation._passes import passes, prepared
from nnwidgets.engine.evaluation._prepared import Prepared
from nnwidgets.engine.evaluation._stream import answers
from nnwidgets.engine.evaluation.checks import check_model
from nnwidgets.engine.trace import plain_copy
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.records import Evaluation
from nnwidgets.engine.values.split import Split

__all__ = ["evaluate", "fastest_dtype"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_WORTH = 1.2  # how much quicker bfloat16 has to be
_PROBE, _ROUNDS = 32, 3


def evaluate(model: nn.Module, split: Split, dtype: str = "float32") -> Evaluation:
    """Look at every image and count.

    A copy does the work, with batch-norm folded into the convolutions before it where that gives the same logits (to 1e-4 of the
    largest); networks above 256 MB are run where they are.

    Args:
        model: answers logits (B, K); it is left as it is, whatever happens.
        split: images with labels, where the network is.
        dtype: "float32", the exact answer; "bfloat16" runs a copy in bfloat16 (8 significant bits: a few answers flip, at small
            margins); "auto" is whichever a short measurement finds quicker here. Compressed networks are always run in float32:
            "bfloat16" is refused for them, as it would distort masks and grids. A baked one cannot be told from others: ask for
            "float32" where its weights are quantized.

    Raises:
        DataError: no labels, labels without an output, another device. ModelError: a network that cannot be measured, in words.
        InputError: another dtype.
    """
    if dtype not in (*_DTYPES, "auto"):
        raise InputError(f"dtype: got {dtype!r}, expected 'float32', 'bfloat16' or 'auto'.")
    if split.labels is None:
        raise DataError("got images without labels; accuracy needs Split(images, labels).")
    check_model(model, split)
    compressed = any(parametrize.is_parametrized(module) for module in model.modules())
    if dtype == "bfloat16" and compressed:
        raise InputError(
            "dtype: 'bfloat16' would distort masks and fake quantization; expected 'float32' for a compressed network."
        )
    network = prepared(model, split)
    if dtype == "auto":
        dtype = "float32" if compressed else fastest_dtype(network, split)
    kind = _DTYPES[dtype]
    if kind != torch.float32:
        network = network if isinstance(network, Prepared) else plain_copy(network)
        (network.network if isinstance(network, Prepared) else network).to(kind)
    labels = split.labels.cpu()
    correct, margins = np.zeros(len(split), bool), np.zeros(len(split), np.float32)
    confusion: npt.NDArray[np.int64] | None = None
    for index, logits in passes(network, split, target_s=None, dtype=kind):
        where, wanted = index.numpy(), labels[index]
        correct[where], margins[where] = answers(logits, wanted)
        if confusion is None:
            confusion = np.zeros((logits.shape[1],) * 2, np.int64)
        np.add.at(confusion, (wanted.numpy(), logits.argmax(1).cpu().numpy()), 1)
    assert confusion is not None  # a split holds at least one image
    low, high = wilson(int(correct.sum()), len(correct))
    return Evaluation(float(correct.sum() / len(correct)), low, high, len(correct), confusion, correct, margins)


def fastest_dtype(network: nn.Module | Prepared, split: Split) -> str:
    """Measure a small batch in float32 and in bfloat16: "bfloat16" only where it is at least 1.2 times as quick here."""
    plain = network.network if isinstance(network, Prepared) else network
    images = split.inputs(slice(0, _PROBE))
    images = network.inputs(images) if isinstance(network, Prepared) else images
    other = plain_copy(plain).to(torch.bfloat16)

    def seconds(model: nn.Module, batch: torch.Tensor) -> float:
        best = float("inf")
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            model(batch)
            best = min(best, time.perf_counter() - began)
        return best

    with torch.inference_mode():
        plain_s = seconds(plain_copy(plain), images)
        try:
            other_s = seconds(other, images.to(torch.bfloat16))
        except (RuntimeError, TypeError):  # an operation that this build does not have in bfloat16
            return "float32"
    return "bfloat16" if other_s * _WORTH <= plain_s else "float32"
