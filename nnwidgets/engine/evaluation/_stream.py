"""Accuracy that streams: the images that tell most first, an honest interval, exact at the end."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.evaluation._passes import passes, prepared
from nnwidgets.engine.evaluation._prepared import Frozen, Prepared
from nnwidgets.engine.evaluation._tally import Tally
from nnwidgets.engine.evaluation.checks import check_model
from nnwidgets.engine.evaluation.strata import strata_of
from nnwidgets.engine.values.records import Estimate, Evaluation
from nnwidgets.engine.values.split import Split

__all__ = ["answers", "stream", "stream_accuracy"]


def answers(logits: Tensor, labels: Tensor) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Return (B,) whether each answer is right, and (B,) float32 logit of the label minus the best other one.

    Args:
        logits: (B, K); labels: (B,) on the CPU.
    """
    logits = logits.detach().float().cpu()
    own = logits.gather(1, labels.unsqueeze(1)).squeeze(1)
    if logits.shape[1] == 1:
        return (logits.argmax(1) == labels).numpy(), own.numpy()
    best = logits.topk(2, dim=1).values
    answer = logits.argmax(1)
    other = torch.where(answer == labels, best[:, 1], best[:, 0])
    return (answer == labels).numpy(), (own - other).numpy()


def stream(network: nn.Module | Prepared | Frozen, split: Split, tally: Tally) -> Generator[Estimate, None, None]:
    """Yield an estimate after each batch of about 20 ms, the last one exact; ``tally`` says where to look and keeps answers."""
    if split.labels is None:
        raise DataError("got images without labels; accuracy needs Split(images, labels).")
    labels = split.labels.cpu()
    for index, logits in passes(network, split, tally.draw):
        yield tally.add(index.numpy(), *answers(logits, labels[index]))


def stream_accuracy(
    model: nn.Module,
    split: Split,
    reference: nn.Module | Evaluation | npt.NDArray[np.bool_] | None = None,
    half_width: float | None = 0.01,
    seed: int = 0,
) -> Iterator[Estimate]:
    """Accuracy of a network, from few images at first, until it is exact.

    Each estimate carries a 95 % interval for the whole split: drawn again, it would hold the accuracy that `evaluate` finds in
    about 95 of 100 draws. It has no width at the end, and the last estimate equals ``evaluate``. With a reference the images that
    tell most are looked at first: by label and margin of the reference (strata, Neyman 1934), which takes a third to a tenth
    of the images that chance would. Without one they come in random order, and the interval is exact (hypergeometric).

    Args:
        reference: what is known of a similar network, best the dense one: its ``evaluate(...)``, or (N,) bool of the images it
            answers right, or the network itself, which is then evaluated first. Estimates then carry the difference to it.
        half_width: stop once the interval is this narrow each way, a share; a point by default; None goes on to the end.
        seed: of the order of the images.

    Raises:
        DataError: no labels, or a reference of another length. InputError: a reference of another type.
        ModelError: the answers are not logits (B, K), or NaN.
    """
    if split.labels is None:
        raise DataError("got images without labels; accuracy needs Split(images, labels).")
    check_model(model, split)
    tally = _tally(split, reference, seed)
    for estimate in stream(prepared(model, split), split, tally):
        yield estimate
        if half_width is not None and tally.settled and (estimate.high - estimate.low) / 2 <= half_width:
            return


def _tally(split: Split, reference: object, seed: int) -> Tally:
    if reference is None:
        return Tally(len(split), seed=seed)
    assert split.labels is not None
    labels = split.labels.cpu().numpy()
    if isinstance(reference, nn.Module):
        known = Tally(len(split))
        for _ in stream(prepared(reference, split), split, known):
            pass
        right, margin = known.right, known.margin
    elif isinstance(reference, Evaluation):
        right, margin = reference.correct, reference.margins
    elif isinstance(reference, np.ndarray) and reference.dtype == np.bool_:
        right, margin = reference, reference.astype(np.float32)
    else:
        kind = reference.dtype if isinstance(reference, np.ndarray) else type(reference).__name__
        raise InputError(f"reference: got {kind}, expected a network, what evaluate() returned, or (N,) bool.")
    strata = strata_of(labels, margin)
    return Tally(len(split), strata, float(right.mean()), seed)
