"""Whether a network and a sample fit together, said before anything is measured."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError, ModelError
from nnwidgets.engine.evaluation._memory import half_after, out_of_memory
from nnwidgets.engine.trace import preserved
from nnwidgets.engine.values.split import Split

__all__ = ["check_finite", "check_logits", "check_model", "check_weights"]


def check_model(model: nn.Module, split: Split) -> None:
    """Check weights, device, and the answer to one or two images.

    Raises:
        ModelError: weights on several devices, on meta, or not finite; a forward that fails; an answer that is not logits (B, K).
        DataError: labels without an output, or images on another device than the network.
    """
    device = check_weights(model)
    if device is not None and device != split.device:
        raise DataError(
            f"the split is on {split.device}, the network on {device}: call split.to({str(device)!r}), nothing is moved silently."
        )
    images = split.inputs(slice(0, 2))
    try:
        with preserved(model), torch.inference_mode():
            model.eval()
            answer = model(images)
    except (RuntimeError, MemoryError, TypeError, ValueError, IndexError, NotImplementedError, AssertionError) as error:
        if out_of_memory(error):
            half_after(error, 1)  # raises: two images are as few as there can be
        raise ModelError(
            f"the network failed on images of shape {tuple(images.shape)}: {type(error).__name__}: {error}. "
            f"Expected a forward that takes (B, {', '.join(map(str, split.sample_shape))}); "
            "reshape the images or wrap the network."
        ) from error
    logits = check_logits(answer, len(images))
    if split.labels is not None and split.n_classes > logits.shape[1]:
        hint = "one output means a regression or binary net: " if logits.shape[1] == 1 else ""
        raise DataError(
            f"labels: got {split.n_classes - 1} as the largest, the network has {logits.shape[1]} output(s); {hint}"
            f"expected logits (B, K) with K of at least {split.n_classes}, one a class."
        )


def check_weights(model: nn.Module) -> torch.device | None:
    """The one device of all weights and buffers (None without any), which hold finite numbers.

    Raises:
        ModelError: several devices, the meta device, NaN or infinity.
    """
    tensors = [*model.named_parameters(), *model.named_buffers()]
    devices = {tensor.device for _, tensor in tensors}
    if any(device.type == "meta" for device in devices):
        raise ModelError(
            "the network is on the meta device and holds no numbers; load weights first, "
            "such as with model.to_empty and load_state_dict."
        )
    if len(devices) > 1:
        raise ModelError(
            f"the network is spread over {', '.join(sorted(map(str, devices)))}; expected one device: call model.to(device)."
        )
    for name, tensor in tensors:
        if tensor.is_floating_point() and tensor.numel() and not _finite(tensor):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ModelError(
                f"{name}: {bad} of {tensor.numel()} values are NaN or infinite; load sound weights, "
                "or train again with a smaller rate."
            )
    return next(iter(devices), None)


def _finite(tensor: Tensor) -> bool:
    """Whether all are numbers. ``isfinite`` would make copies, which of the largest layer of VGG16 are 700 MB."""
    try:
        ends = torch.stack(tensor.detach().aminmax())
    except RuntimeError:  # a type without an order
        ends = tensor.detach()
    return bool(torch.isfinite(ends).all())


def check_logits(answer: object, batch: int) -> Tensor:
    """The answer of a network, if it is logits (B, K) for a batch of ``batch``.

    Raises:
        ModelError: a tuple, a dict, or a tensor of another shape or type.
    """
    if not isinstance(answer, Tensor):
        kind = f"a {type(answer).__name__}"
        raise ModelError(
            f"the network answers {kind}, expected one tensor of logits (B, K); "
            "wrap it in a module that returns the logits alone."
        )
    if answer.dim() != 2 or len(answer) != batch or not answer.is_floating_point():
        raise ModelError(
            f"the network answers {answer.dtype} of shape {tuple(answer.shape)} for a batch of {batch}, "
            f"expected logits ({batch}, K); this version measures single-label classifiers."
        )
    return answer


def check_finite(logits: Tensor) -> None:
    """Make sure that answers (B, K) are numbers.

    Raises:
        ModelError: NaN or infinity.
    """
    bad = int((~torch.isfinite(logits)).any(1).sum())
    if bad:
        raise ModelError(
            f"the network answers NaN or infinity for {bad} of {len(logits)} images; "
            "its accuracy means nothing. Look at its weights and inputs."
        )
