"""What makes up for rounding without any training: each remedy alone, and all that keep the form of the network together."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression import CompressionPlan, bake
from nnwidgets.engine.errors import DataError, NnwError, RecipeError
from nnwidgets.engine.evaluation import Frozen, check_model, passes, sample_of
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.trace import preserved_rng, unvisited_copy
from nnwidgets.engine.values.recipe import Quantization, Recipe
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of, retold

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RemedyProgress", "RemedyRow", "compare_remedies", "compare_remedies_steps"]

_MOST = 4000  # images that each is measured on
_Z = 1.959964
_CHANGES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("channel", "a scale a channel", {"granularity": "channel"}),
    ("mse", "clipping by least squares", {"observer": "mse"}),
    ("equalize", "channels equalized", {"equalize": True}),
    ("bias_correction", "biases corrected", {"bias_correction": True}),
    ("adaptive", "adaptive rounding", {"rounding": "adaptive"}),
    ("together", "the last three together", {"equalize": True, "bias_correction": True, "rounding": "adaptive"}),
)


@dataclass(frozen=True)
class RemedyRow:
    """One remedy on one network.

    Attributes:
        remedy: "none", "channel", "mse", "equalize", "bias_correction", "adaptive" or "together". label: in words.
        accuracy: on the sample; None with a ``reason`` why it could not be tried.
        gain, low, high: accuracy above "none", with its 95 % interval for images like these: paired by image.
        bytes_encoded: of the file. recipe: as JSON text.
    """

    remedy: str
    label: str
    recipe: str
    accuracy: float | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    bytes_encoded: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class RemedyProgress:
    """Attributes:
    share: that is done. text: what is being done. row: where one was finished.
    n: images that are measured on. labels: of all remedies that are tried, "none" not among them.
    """

    share: float
    text: str
    n: int
    labels: tuple[str, ...]
    row: RemedyRow | None = None


_Steps = Generator[RemedyProgress, None, tuple[RemedyRow, ...]]


def compare_remedies(
    model: nn.Module, recipe: Recipe, val: Split, calibration: Split, *, loss: Loss | None = None
) -> pd.DataFrame:
    """Measure what each remedy of rounding without training gains, alone and together, on the same images.

    Those that the recipe has already are not tried alone; "none" is the recipe as it is.

    Args:
        model: a trained, plain network, which is not touched. recipe: what rounds its weights, after what it removes.
        val: images with labels to measure on, at most 4,000 of them: S_val, since a remedy is chosen by it.
        calibration: images that biases, moments and ranges are from. loss: of criteria that ask it.

    Returns:
        A row for each remedy with the attributes of `RemedyRow` as columns. ``attrs``: n, the images measured on.

    Raises:
        RecipeError: the recipe rounds no weights. DataError: no labels, no images. And what `compress` raises for the recipe.

    Source:
        Nagel et al. 2019 (equalization, bias correction) and 2020 (adaptive rounding); interval of a paired difference of shares.
    """
    for name, split in (("val", val), ("calibration", calibration)):
        if not isinstance(split, Split):
            raise DataError(f"{name}: got {type(split).__name__}, expected a Split, such as experiment.{name}.")
    check_model(model, val)
    with preserved_rng():
        with torch.inference_mode(False), torch.no_grad():
            copy = unvisited_copy(model).eval()
        plan = CompressionPlan(copy, val.sample_shape, split=calibration, loss=loss)
        sample = _sample(plan, val)
        rows = result_of(compare_remedies_steps(plan, recipe, val))
    import pandas as pd  # 30 MB that others do not need

    table = pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(RemedyRow)])
    table = table.astype(dict.fromkeys(("accuracy", "gain", "low", "high", "bytes_encoded"), float))
    table.attrs.update(n=len(sample))
    return table


def compare_remedies_steps(plan: CompressionPlan, recipe: Recipe, val: Split) -> _Steps:
    """As `compare_remedies`, for a job, by what a plan knows: yields after each 20 ms of work or so, returns the rows."""
    if val.labels is None:
        raise DataError("val: got images without labels; expected Split(images, labels).")
    settings = recipe.quantization
    if settings is None or all(settings.bits_of(layer.name) == 32 for layer in plan.layers):
        raise RecipeError("This recipe rounds no weights, so nothing has to be made up for. Give Quantization(weight_bits=...).")
    plan.check(recipe)
    return _steps(plan, recipe, settings, _sample(plan, val))


def _sample(plan: CompressionPlan, val: Split) -> Split:
    return sample_of(val, plan.trace.macs, _MOST)


def _steps(plan: CompressionPlan, recipe: Recipe, settings: Quantization, sample: Split) -> _Steps:
    asked = [("none", "as it is", settings)]
    asked += [(name, label, replace(settings, **more)) for name, label, more in _CHANGES]
    asked = [each for each in asked if each[0] == "none" or each[2] != settings]
    labels, rows = tuple(label for _, label, _ in asked[1:]), list[RemedyRow]()
    before: Tensor | None = None
    for place, (name, label, changed) in enumerate(asked):
        tried = Recipe(recipe.pruning, changed)
        row = RemedyRow(name, label, tried.to_json())

        def say(place: int = place, label: str = label) -> RemedyProgress:
            return RemedyProgress(place / len(asked), label, len(sample), labels)

        try:
            right = yield from retold(_right(plan, tried, sample), say)
            before = right if before is None else before
            row = replace(row, accuracy=float(right.double().mean()), bytes_encoded=plan.figures(tried).bytes_encoded)
            if name != "none":
                gain, low, high = _paired(before, right)
                row = replace(row, gain=gain, low=low, high=high)
        except NnwError as error:
            if before is None:
                raise
            row = replace(row, reason=str(error))
        rows.append(row)
        yield RemedyProgress((place + 1) / len(asked), label, len(sample), labels, row)
    return tuple(rows)


def _right(plan: CompressionPlan, recipe: Recipe, sample: Split) -> Generator[None, None, Tensor]:
    """(N,) bool: which images a recipe gets right."""
    for steps in (plan.preparing(recipe), plan.making(recipe)):
        yield from _silently(steps)
    network = bake(plan.compressed(recipe)).eval()
    yield
    assert sample.labels is not None
    right = torch.zeros(len(sample), dtype=torch.bool)
    for positions, logits in passes(Frozen(network), sample):
        right[positions] = logits.argmax(1) == sample.labels[positions]
        yield
    return right


def _silently(steps: Iterator[object]) -> Iterator[None]:
    for _ in steps:
        yield None


def _paired(before: Tensor, after: Tensor) -> tuple[float, float, float]:
    """Difference of two shares on the same images, with the 95 % interval of its mean over images."""
    each = after.double() - before.double()
    mean, n = float(each.mean()), len(each)
    apart = _Z * math.sqrt(max(0.0, float(each.square().mean()) - mean * mean) / n)
    return mean, mean - apart, mean + apart
