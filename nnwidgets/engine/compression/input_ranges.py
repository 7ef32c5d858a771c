"""Where the grids of a network's inputs end: found on images that run through it with its weights as they will be."""

from __future__ import annotations

from collections.abc import Generator

from nnwidgets.engine.compression._correct_bias import correcting
from nnwidgets.engine.compression.decision import Decision, decide
from nnwidgets.engine.compression.parametrizations import taken_off
from nnwidgets.engine.compression.weights_only import weights_compressed_by
from nnwidgets.engine.evaluation import sample_of
from nnwidgets.engine.quantization import Calibration, InputGrid, observing
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.steps import result_of, retold

__all__ = ["calibrating", "gridding", "input_grids"]


def input_grids(decision: Decision) -> dict[str, InputGrid]:
    """The grids of inputs of a decision, by module; ranges are found now if they are not known."""
    return result_of(gridding(decision))


def gridding(decision: Decision) -> Generator[None, None, dict[str, InputGrid]]:
    """As `input_grids`, in steps of some 20 ms."""
    settings = decision.recipe.quantization
    if settings is None or settings.activation_bits == 32:
        return {}
    seen = yield from retold(calibrating(decision), lambda: None)
    return (yield from seen.gridding(settings))


def calibrating(decision: Decision) -> Generator[float, None, Calibration]:
    """Find what goes into each layer of the network with its weights as they will be, in steps of some 20 ms.

    Raises:
        DataError: an input is not finite.
    """
    decider, knowledge, settings = decision.decider, decision.decider.knowledge, decision.asked.quantization
    assert settings is not None and knowledge.split is not None  # which was checked when it was decided
    weights = settings.of_weights()
    key = (Recipe(decision.asked.pruning, weights), knowledge.scans)
    known = decider.calibrations.find(key)
    if known is not None:
        return known
    found = knowledge.traced(knowledge.split.sample_shape)
    sample = sample_of(knowledge.split, found.macs, settings.calibration_images)
    plain = yield from retold(correcting(decision), lambda: 0.0)
    alone = decide(decider, Recipe(decision.asked.pruning, weights.on_prepared()))
    network = taken_off(weights_compressed_by(plain, alone), quantized=True)
    yield 0.0
    made = yield from observing(network, sample, found)
    return decider.calibrations.get(key, lambda: made)
