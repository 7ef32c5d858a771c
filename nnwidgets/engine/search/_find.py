"""The search for the smallest network that meets a goal: its front door."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.errors import DataError, ModelError, UnsupportedError
from nnwidgets.engine.evaluation import check_model
from nnwidgets.engine.search._asked import Asked, check_split
from nnwidgets.engine.search._search import Search
from nnwidgets.engine.search.records import SearchResult, SearchStep
from nnwidgets.engine.trace import preserved_rng, unvisited_copy
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split

__all__ = ["find_smallest", "search_steps"]

Loss = Callable[[Tensor, Tensor], Tensor]


def find_smallest(
    model: nn.Module,
    val: Split,
    goal: float,
    *,
    merit: str = "size",
    budget_s: float = 30.0,
    calibration: Split | None = None,
    loss: Loss | None = None,
    start: Recipe | None = None,
    seed: int = 0,
) -> SearchResult:
    """Find the recipe with the smallest merit whose accuracy on ``val`` still meets the goal, within a time budget.

    Recipes come in families: all but the amount is fixed, and accuracy is taken to fall as the amount grows, so that it is
    bisected on a grid of 0.01. A family first has to beat the best recipe so far at the amount where it just gets smaller: most
    are out after a look at few images, since a candidate is left as soon as its 95 % interval is clear of the goal. What is no
    smaller than the best one is not looked at. Families near to the best one and cheap to score come first. The winner of each
    family is measured on all of ``val``; where that fails, the next smaller amount is tried.

    Choose ``val`` as images that nothing is reported on: the winner of many candidates looks better on them than on others, so
    measure it once more on S_test. The network is copied and stays as it is. Where time does not end it, the same seed gives the
    same result, but for latency, which is measured.

    Args:
        model: a plain network that answers logits (B, K). val: S_val with labels, where the network is.
        goal: largest error allowed, a share in (0, 1).
        merit: what is made small: "size" (bytes, encoded), "macs" (executed once really smaller: filters, neurons and heads go),
            "latency" (measured milliseconds of the really smaller network, one image at a time, in turns with the dense one) or
            "energy" (microjoules an image by `energy`, zeros neither multiplied nor read).
        budget_s: seconds. A step that has begun, and the pass that verifies what was found, are ended.
        calibration: images that criteria look at, S_train; without it only criteria of the weights alone are tried.
        loss: ``loss(logits, labels)`` of criteria, by default cross entropy.
        start: a recipe that has to be beaten, where it meets the goal. seed: of the order of images.

    Raises:
        InputError: goal, merit, budget, start or seed out of range. DataError: no labels, another device.
        ModelError, UnsupportedError: a network that cannot be measured or compressed.
    """
    steps = search_steps(
        model,
        val,
        goal,
        merit=merit,
        budget_s=budget_s,
        calibration=calibration,
        loss=loss,
        start=start,
        seed=seed,
    )
    with preserved_rng():
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: SearchResult = end.value
                return result


def search_steps(
    model: nn.Module,
    val: Split,
    goal: float,
    *,
    merit: str = "size",
    budget_s: float = 30.0,
    calibration: Split | None = None,
    loss: Loss | None = None,
    start: Recipe | None = None,
    seed: int = 0,
    plan: CompressionPlan | None = None,
) -> Generator[SearchStep, None, SearchResult]:
    """As `find_smallest`, for a job: yields a `SearchStep` after each 20 ms of work or so, and returns the result.

    Arguments are checked at the call. A step has a ``point`` where one was finished; a point that is verified later comes once
    more, with the same recipe. Random states are not guarded: in a background thread that would take back what the user's own
    code draws.

    Args:
        plan: of ``model``, which then is not copied and must not change; what its criteria have found is used. ``calibration``
            and ``loss`` are those of the plan.
    """
    asked = Asked(goal, merit, budget_s, seed, start)
    asked.check()
    if not isinstance(model, nn.Module):
        raise ModelError(f"model: got {type(model).__name__}, expected a torch.nn.Module.")
    check_split("val", val)
    if calibration is not None and not isinstance(calibration, Split):
        raise DataError(f"calibration: got {type(calibration).__name__}, expected Split(images, labels), or None.")
    check_model(model, val)
    if plan is None:
        with torch.inference_mode(False), torch.no_grad():
            model = unvisited_copy(model).eval()
        plan = CompressionPlan(model, val.sample_shape, split=calibration, loss=loss)
    for layer in plan.layers:
        if parametrize.is_parametrized(model.get_submodule(layer.module_name), layer.parameter):
            raise UnsupportedError(
                f"Layer {layer.name!r} already has a parametrization on its weight. Take that off with "
                "torch.nn.utils.parametrize.remove_parametrizations first."
            )
    return Search(model, plan, val, asked).steps()
