"""One round of one seed of a lottery: a function of its arguments alone, so that it can run anywhere and be done again."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.sparse._held import bool_masks, held
from nnwidgets.engine.sparse._measure import Measured, batch_for, measuring
from nnwidgets.engine.sparse._tasks import ONE_AT_A_TIME
from nnwidgets.engine.sparse.lottery_records import LotteryRun
from nnwidgets.engine.trace import preserved_rng, unvisited_copy, weight_layers, weight_of
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["Plan", "built", "kept_of", "round_steps", "round_task"]

_Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Plan:
    """What every round needs: the arguments of `lottery_ticket`, checked."""

    build: Callable[[], nn.Module]
    train: Split
    val: Split
    test: Split
    setup: TrainingSetup
    rate: float
    output_rate: float
    output_layer: str
    rewind_step: int
    every_steps: int
    control_rounds: frozenset[int] | None

    def arms(self, number: int) -> tuple[str, ...]:
        """The runs of a round."""
        if number == 0:
            return ("dense",)
        controls = self.control_rounds is None or number in self.control_rounds
        return ("ticket", "reinit", "reshuffled") if controls else ("ticket",)


@dataclass(frozen=True, eq=False)
class _Start:
    """Where runs begin: weights, and from step 1 on where in the order of images."""

    weights: _Weights
    place: Mapping[str, Any] | None = None


def built(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A new network in eval mode, drawn by a seed; the global random states are as before."""
    with preserved_rng():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        made = build()
        if not isinstance(made, nn.Module):
            raise ModelError(f"build() gave {type(made).__name__}, expected a torch.nn.Module that is not trained yet.")
        return unvisited_copy(made).eval()


def kept_of(n: int, rate: float, number: int) -> int:
    """Weights of a layer of ``n`` that are left after some rounds; counted from ``n``, so that rounding does not add up."""
    return max(1, round(n * (1 - rate) ** number))


def round_task(plan: Plan, seed: int, number: int, masks: Mapping[str, Mask]) -> dict[str, Any]:
    """As `round_steps`, in one go: the task that an executor is given.

    One at a time in each process.
    """
    with ONE_AT_A_TIME:
        return result_of(round_steps(plan, seed, number, masks))


def round_steps(
    plan: Plan, seed: int, number: int, masks: Mapping[str, Mask]
) -> Generator[LotteryRun | float | None, None, dict[str, Any]]:
    """Train the arms of a round.

    Yields after at most one part of a training step: the share of the present run that is trained where it grew, each run when
    it is done, else None.

    Returns:
        A record in JSON: seed, round, runs, and the masks of the next round.
    """
    start = yield from _started(plan, seed)
    runs, decided = [], dict(masks)
    for arm in plan.arms(number):
        keep, begin = _arm(plan, arm, seed, number, masks, start)
        run, weights = yield from _trained(plan, arm, seed, number, keep, begin)
        runs.append(run)
        yield run
        if arm in ("dense", "ticket"):
            decided = _pruned(plan, weights, masks, number + 1)
            yield None
    return {
        "seed": seed,
        "round": number,
        "runs": [asdict(run) for run in runs],
        "next": {name: mask.to_json() for name, mask in decided.items()},
    }


def _started(plan: Plan, seed: int) -> Generator[None, None, _Start]:
    """The weights that tickets get back: those at the start, or those of step k of the dense network, which is trained again."""
    network = built(plan.build, seed)
    yield
    if not plan.rewind_step:
        return _Start(_weights(network))
    run = fit(network, plan.train, setup=replace(plan.setup, seed=seed))
    for record in run.in_parts():
        if record is not None and record.step == plan.rewind_step:
            state = run.state()
            return _Start(_weights(network), {key: state[key] for key in ("step", "order", "draw")})
        yield
    raise AssertionError("unreachable: rewind_step was checked")


def _arm(
    plan: Plan, arm: str, seed: int, number: int, masks: Mapping[str, Mask], start: _Start
) -> tuple[dict[str, Tensor], _Start]:
    """Masks and weights that an arm begins with."""
    keep = bool_masks(masks)
    if arm == "dense":
        return {}, _Start(_weights(built(plan.build, seed)))
    if arm == "reinit":
        return keep, _Start(_weights(built(plan.build, _mixed(seed, number, arm))))
    if arm == "reshuffled":
        for name, mask in keep.items():
            draw = torch.Generator().manual_seed(_mixed(seed, number, arm, name))
            keep[name] = mask.reshape(-1)[torch.randperm(mask.numel(), generator=draw)].reshape(mask.shape)
    return keep, start


def _trained(
    plan: Plan, arm: str, seed: int, number: int, keep: dict[str, Tensor], start: _Start
) -> Generator[float | None, None, tuple[LotteryRun, _Weights]]:
    network = built(plan.build, seed)
    network.load_state_dict(start.weights)
    batch = batch_for(network, plan.val)
    yield None
    with held(network, keep):
        best: tuple[Measured, int, _Weights] | None = None
        measured, step = Measured(float("inf"), 0.0), 0
        run = fit(network, plan.train, setup=replace(plan.setup, seed=seed))
        if start.place is not None:
            run = fit(network, plan.train, setup=replace(plan.setup, seed=seed), resume={**run.state(), **start.place})
        for record in run.in_parts():
            yield None if record is None else record.step / record.steps
            if record is None or (record.step % plan.every_steps and record.step != record.steps):
                continue
            step = record.step
            measured = yield from measuring(network, plan.val, batch)
            if best is None or measured.loss < best[0].loss:
                best = measured, step, _weights(network)
    assert best is not None  # the last step is measured
    weights = _weights(network)
    end = yield from measuring(network, plan.test, batch)
    network.load_state_dict(best[2])
    stop = yield from measuring(network, plan.test, batch)
    layers = weight_layers(network)
    kept = sum(int(keep[layer.name].sum()) if keep else layer.numel for layer in layers)
    made = LotteryRun(
        seed=seed,
        round=number,
        arm=arm,
        remaining=kept / sum(layer.numel for layer in layers),
        kept=kept,
        steps=step,
        stop_step=best[1],
        stop_val_loss=best[0].loss,
        stop_val_accuracy=best[0].accuracy,
        stop_test_accuracy=stop.accuracy,
        end_val_loss=measured.loss,
        end_val_accuracy=measured.accuracy,
        end_test_accuracy=end.accuracy,
    )
    return made, weights


def _pruned(plan: Plan, weights: _Weights, masks: Mapping[str, Mask], number: int) -> dict[str, Mask]:
    """Layer by layer the smallest of those that are left go (Frankle & Carbin 2019); of equal ones the first."""
    network = built(plan.build, 0)
    network.load_state_dict(weights)
    found = {}
    for layer in weight_layers(network):
        size = weight_of(network, layer).detach().abs().double().cpu()
        if layer.name in masks:
            size[~torch.from_numpy(masks[layer.name].to_array())] = -1
        rate = plan.output_rate if layer.name == plan.output_layer else plan.rate
        order = torch.argsort(size.reshape(-1), stable=True)
        keep = torch.ones(size.numel(), dtype=torch.bool)
        keep[order[: size.numel() - kept_of(size.numel(), rate, number)]] = False
        found[layer.name] = Mask.from_array(keep.reshape(size.shape))
    return found


def _weights(network: nn.Module) -> _Weights:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _mixed(*parts: object) -> int:
    """A seed of its own for each purpose."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=6).digest(), "little")
