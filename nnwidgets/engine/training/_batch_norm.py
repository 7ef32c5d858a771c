"""Batch-norm statistics of a network that was changed, measured anew on images without labels."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Generator
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nnwidgets.engine.errors import DataError, InputError, ModelError, OutOfMemoryError, UnsupportedError
from nnwidgets.engine.evaluation import check_model
from nnwidgets.engine.evaluation._memory import out_of_memory
from nnwidgets.engine.trace import unvisited_copy
from nnwidgets.engine.training._buffers import copy_back, saved
from nnwidgets.engine.training._fit import steps_an_epoch
from nnwidgets.engine.values.split import Split

__all__ = ["check_statistics", "recalibrate_batch_norm", "recalibration", "statistics_layers"]

_IMAGES, _BATCH = 1024, 128


def recalibrate_batch_norm(
    model: nn.Module, split: Split, *, images: int = _IMAGES, batch_size: int = _BATCH, seed: int = 0
) -> nn.Module:
    """Return a copy whose batch-norm layers hold the means and variances of what reaches them now. Labels are not looked at.

    Removing or rounding weights changes what reaches a batch-norm; with the statistics of the network as it was, much of its
    accuracy goes. Weights stay as they are, masks and fake quantization that ``compress`` put on too, and so does ``training``.

    Each statistic is the mean over the batches of one pass, in which every batch-norm normalises by its own batch.

    Args:
        model: with batch-norm layers that keep statistics. split: images; of more than ``images`` a draw with this seed.
        images: at least 2. batch_size: of a batch; one image that would be left joins the batch before.

    Raises:
        UnsupportedError: no batch-norm layer keeps statistics. DataError: fewer than two images.
        ModelError: images of another shape, statistics that are not finite, or one number a batch and channel.
        OutOfMemoryError: a batch needs more than there is.

    Source:
        Li et al. 2020 (EagleEye, adaptive batch normalization); Wu & Johnson 2021 (precise batch-norm).
    """
    twin = unvisited_copy(model)
    for _ in recalibration(twin, split, images=images, batch_size=batch_size, seed=seed):
        pass
    return twin


def statistics_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the batch-norm layers that keep statistics."""
    return tuple(name for name, module in model.named_modules() if _keeps(module))


def check_statistics(model: nn.Module) -> None:
    """Raise UnsupportedError where no batch-norm layer keeps statistics."""
    if not statistics_layers(model):
        raise UnsupportedError(
            "this network has no batch-norm layer that keeps statistics: there is nothing to measure anew. Fine-tune it instead."
        )


def recalibration(
    model: nn.Module, split: Split, *, images: int = _IMAGES, batch_size: int = _BATCH, seed: int = 0
) -> Generator[float, None, None]:
    """Measure the statistics of a network in place; yields the share that is done after each batch.

    Left early, or where something fails, the statistics are as they were.

    Raises:
        as `recalibrate_batch_norm` does.
    """
    for name, value, least in (("images", images, 2), ("batch_size", batch_size, 2)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name}: got {value!r:.40}, expected a whole number from {least} on.")
    check_statistics(model)
    if len(split) < 2:
        raise DataError(f"got {len(split)} image, expected at least two: a variance of one is not known.")
    check_model(model, split)
    count = min(images, len(split))
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:count].to(split.device)
    found = {name: module for name, module in model.named_modules() if _keeps(module)}
    before = {name: saved(module) for name, module in found.items()}
    batches = steps_an_epoch(count, batch_size)
    try:
        for module in found.values():
            module.reset_running_stats()
        for batch in range(batches):
            stop = (batch + 1) * batch_size if batch + 1 < batches else count
            _one_pass(model, found.values(), split.inputs(order[batch * batch_size : stop]))
            if batch + 1 < batches:
                yield (batch + 1) / batches
        _check_finite(found)
    except BaseException:
        for buffers in before.values():
            copy_back(buffers)
        raise
    for name, norm in found.items():
        if not norm.num_batches_tracked:  # the network has it and does not use it
            copy_back(before[name])
    yield 1.0


def _keeps(module: nn.Module) -> TypeGuard[_BatchNorm]:
    return isinstance(module, _BatchNorm) and isinstance(module.running_mean, Tensor)


def _check_finite(found: dict[str, _BatchNorm]) -> None:
    for name, module in found.items():
        if not all(bool(torch.isfinite(value).all()) for value in module.buffers()):
            raise ModelError(
                f"what reaches batch-norm {name!r} is not finite; its statistics are as they were. Look for NaN or Inf in the "
                "inputs and in the weights before it."
            )


def _one_pass(model: nn.Module, found: Collection[_BatchNorm], inputs: Tensor) -> None:
    """Batch-norm learns, as a plain mean over the batches, and nothing else does; flags and momentum are put back."""
    flags, momenta = [(module, module.training) for module in model.modules()], [(module, module.momentum) for module in found]
    try:
        model.eval()
        for module in found:
            module.training, module.momentum = True, None
        with torch.no_grad():
            model(inputs)
    except ValueError as error:
        raise ModelError(f"the statistics cannot be measured: {error}. Give more images or a larger batch_size.") from error
    except Exception as error:
        if not out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the activations
        raise OutOfMemoryError(
            f"there is not enough memory for a batch of {len(inputs)} images; the statistics are as they were. Use a smaller "
            "batch_size, or free memory (other widgets)."
        ) from error
    finally:
        for each, training in flags:
            each.training = training
        for norm, momentum in momenta:
            norm.momentum = momentum
