"""Full exact passes and the time to a point, against the loop that users write. CPU seconds of one thread."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from figures import Figure, ratios, seconds
from nets import naive_loop, random_split, vgg16_bn
from torch import nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.evaluation import Prepared, Tally, fastest_dtype, passes, prepared, strata_of, stream
from nnwidgets.engine.zoo import shapes

SEEDS = 7


def figures() -> Iterator[Figure]:
    """Yield the rows of PERFORMANCE that concern passes over data."""
    torch.set_num_threads(1)
    clock = time.process_time
    digits, colour = nw.load_example("digits/resnet20"), nw.load_example("shapes/vgg_small")
    assert digits.test is not None and colour.test is not None
    vgg, noise = vgg16_bn(), random_split(2048)
    cases: list[tuple[str, nn.Module, E.Split]] = [
        ("ResNet-20", digits.model, digits.test.take(range(2000))),
        ("small VGG", colour.model, colour.test.take(range(2000))),
        ("VGG16-BN, 14.7 M", vgg, noise),
    ]
    for name, model, split in cases:
        naive = naive_loop(model, split)
        truth = E.evaluate(model, split).accuracy
        assert abs(naive() - truth) <= 2 / len(split), "the two measure the same"
        found = ratios(naive, lambda model=model, split=split: E.evaluate(model, split), 3, clock)
        yield Figure(f"all images of {name}: naive loop / ours, float32", found, (">=", 1.5))
        dtype = fastest_dtype(prepared(model, split), split)
        if dtype == "float32":
            note = f"float32 is the fastest here: bfloat16 measured {_bfloat16(model, split):.2f} times as quick"
        else:
            note = f"fastest here: {dtype}"
            found = ratios(naive, lambda model=model, split=split: E.evaluate(model, split, dtype="auto"), 3, clock)
        yield Figure(f"all images of {name}: naive loop / ours, fastest dtype", found, (">=", 3.0), note=note)
    yield _convolutions(vgg, noise)
    more = shapes(n=8500, seed=11, noise=0.2)  # as the network's own data
    yield from _to_a_point("ResNet-20, 4,000 images", digits, digits.test, (14, 10, 5), (0.3, 0.6, 0.7))
    yield from _to_a_point("small VGG, 8,500 images", colour, more, (30, 15, 8), (0.3, 0.6, 0.7))


def _bfloat16(model: nn.Module, split: E.Split) -> float:
    """How many times as quick a batch is in bfloat16 as in float32."""
    quick = prepared(model, split)
    assert isinstance(quick, Prepared)
    images = quick.inputs(split.inputs(slice(0, 32)))
    twin = copy.deepcopy(quick.network).to(torch.bfloat16)
    with torch.inference_mode():
        found = ratios(lambda: quick.network(images), lambda: twin(images.to(torch.bfloat16)), 5, time.process_time)
    return float(np.median(found))


def _to_a_point(
    name: str, exp: nw.Experiment, split: E.Split, reach: tuple[int, ...], amounts: tuple[float, ...]
) -> Iterator[Figure]:
    """CPU time of a naive full loop / ours until the interval is a point each way, by damage; every seed is one repetition."""
    assert split.labels is not None
    dense = E.evaluate(exp.model, split)
    strata, bench = strata_of(split.labels.numpy(), dense.margins), exp.bench(None)
    for damage, wanted, amount in zip(("light", "medium", "heavy"), reach, amounts, strict=True):
        recipe = E.Recipe(E.Pruning(amount))
        loop = naive_loop(E.bake(E.compress(exp.model, recipe, input_shape=exp.input_shape)), split, 2048)
        found: list[float] = []
        images: list[int] = []
        for seed in range(SEEDS):

            def ours(seed: int = seed, recipe: E.Recipe = recipe, images: list[int] = images) -> None:
                tally = Tally(len(split), strata, seed=seed)
                for estimate in stream(bench.load(recipe), split, tally):
                    if tally.settled and estimate.high - estimate.low <= 0.02:
                        break
                images.append(estimate.n_seen)

            slow = seconds(loop, time.process_time) * len(split) / 2048
            found.append(slow / seconds(ours, time.process_time))
        accuracy = E.evaluate(E.compress(exp.model, recipe, input_shape=exp.input_shape), split).accuracy
        note = f"pruned {amount:.0%}, accuracy {accuracy:.1%}, {np.median(images):.0f} images"
        yield Figure(f"to a point, {damage} damage, {name}: naive full loop / ours", tuple(found), (">=", wanted), note=note)


def _convolutions(model: nn.Module, split: E.Split) -> Figure:
    """The sum of a VGG's convolutions, each timed alone on its own input, over the evaluation of the whole."""
    quick = prepared(model, split)
    assert isinstance(quick, Prepared)
    network, batch = quick.network, quick.inputs(split.inputs(slice(0, 8)))
    calls: list[tuple[nn.Module, torch.Tensor]] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, args: calls.append((module, args[0].clone())))
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    with torch.inference_mode():
        network(batch)
    for hook in hooks:
        hook.remove()

    def alone(work: Callable[[], object]) -> float:
        work()
        return min(seconds(work, time.process_time) for _ in range(5))

    found = []
    with torch.inference_mode():
        for _ in range(5):
            parts = sum(alone(lambda module=module, x=x: module(x)) for module, x in calls)
            whole = (
                min(seconds(lambda: list(passes(quick, split)), time.process_time) for _ in range(2)) / len(split) * len(batch)
            )
            found.append(parts / whole)
    return Figure("VGG16-BN: its layers timed alone / the whole evaluation", tuple(found), (">=", 0.85), note="batches of 8")
