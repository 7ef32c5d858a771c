"""The exact accuracy of a network on a sample."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import parametrize

from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.evaluation._passes import passes
from nnwidgets.engine.evaluation.checks import check_model
from nnwidgets.engine.values.intervals import wilson
from nnwidgets.engine.values.records import Evaluation
from nnwidgets.engine.values.split import Split

__all__ = ["evaluate"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def evaluate(model: nn.Module, split: Split, dtype: str = "float32") -> Evaluation:
    """Look at every image and count.

    Args:
        model: answers logits (B, K); it is left as it is, whatever happens.
        split: images with labels, where the network is.
        dtype: "float32", the exact answer; "bfloat16" runs a copy in bfloat16 (8 significant bits: a few answers flip; never for
            quantized networks). "auto" is "float32" in this version.

    Raises:
        DataError: no labels, labels without an output, another device. ModelError: a network that cannot be measured, in words.
        InputError: another dtype.
    """
    if dtype not in (*_DTYPES, "auto"):
        raise InputError(f"dtype: got {dtype!r}, expected 'float32', 'bfloat16' or 'auto'.")
    if split.labels is None:
        raise DataError("got images without labels; accuracy needs Split(images, labels).")
    check_model(model, split)
    kind = _DTYPES.get(dtype, torch.float32)
    if kind != torch.float32:
        if any(parametrize.is_parametrized(module) for module in model.modules()):
            raise InputError(
                "dtype: 'bfloat16' would distort masks and fake quantization; expected 'float32' for a compressed network."
            )
        model = copy.deepcopy(model).to(kind)
    labels = split.labels.cpu()
    correct = np.zeros(len(split), bool)
    confusion: npt.NDArray[np.int64] | None = None
    for index, logits in passes(model, split, dtype=kind):
        answers, wanted = logits.argmax(1).cpu(), labels[index]
        correct[index.numpy()] = (answers == wanted).numpy()
        if confusion is None:
            confusion = np.zeros((logits.shape[1],) * 2, np.int64)
        np.add.at(confusion, (wanted.numpy(), answers.numpy()), 1)
    assert confusion is not None  # a split holds at least one image
    low, high = wilson(int(correct.sum()), len(correct))
    return Evaluation(float(correct.sum() / len(correct)), low, high, len(correct), confusion, correct)
