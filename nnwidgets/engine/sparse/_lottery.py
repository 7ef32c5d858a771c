"""Winning tickets: iterative magnitude pruning with rewinding, against what it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, MutableMapping
from concurrent.futures import Executor, Future
from dataclasses import asdict
from os import PathLike
from typing import Any

import torch
from torch import nn

from nnwidgets.engine.errors import InputError, ModelError
from nnwidgets.engine.evaluation import check_model
from nnwidgets.engine.sparse._arms import Plan, built, round_steps, round_task
from nnwidgets.engine.sparse._checks import check_labelled, check_setup, whole, whole_seeds
from nnwidgets.engine.sparse._done import Done, Kind, Place, checksum
from nnwidgets.engine.sparse._tasks import check_executor, finish
from nnwidgets.engine.sparse.lottery_records import LotteryProgress, LotteryResult, LotteryRun
from nnwidgets.engine.trace import weight_layers, weight_of
from nnwidgets.engine.training import fit
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["lottery_steps", "lottery_ticket"]

Resume = str | PathLike[str] | MutableMapping[Place, dict[str, Any]] | None
_KIND = Kind("round", "a lottery", ("seed", "round"), ("runs", "next"))


def lottery_ticket(
    build: Callable[[], nn.Module],
    train: Split,
    val: Split,
    test: Split,
    setup: TrainingSetup,
    rounds: int = 15,
    rate: float = 0.2,
    output_rate: float = 0.1,
    rewind_step: int = 0,
    seeds: Iterable[int] = range(10),
    executor: Executor | None = None,
    resume: Resume = None,
    *,
    every_steps: int = 25,
    control_rounds: Iterable[int] | None = None,
    output_layer: str | None = None,
) -> LotteryResult:
    """Look for subnets that learn as well as the whole network (Frankle & Carbin 2019), a chain of rounds for each seed.

    Train, remove in each layer ``rate`` of the weights that are left, the smallest, put the others back to what they were at
    the start (or at step ``rewind_step``: Frankle et al. 2020), and again. In each round, at equal sparsity, on the same seed and
    order of images: the ticket; the same places with new random weights; places reshuffled within each layer. Round 0 is the
    dense network. Biases and batch-norms are not pruned. The loss is cross entropy. Early stopping is chosen on S_val; S_test
    only reports.

    Args:
        build: gives a new, untrained network, drawn from torch's global generator, which is seeded and restored. To be sent to
            processes it has to be a class or function of a module.
        train, val, test: with labels, where the network is. setup: of each run; its seed is replaced by the seed of the run.
        rounds: of pruning. rate, output_rate: removed in a round, of the hidden layers and of the output layer.
        rewind_step: k: tickets and reshuffled ones get the weights of step k of the dense network and go on from there, with a
            fresh optimizer; new random weights are trained from step 0.
        seeds: one chain each; differences between arms are paired by them.
        executor: any ``concurrent.futures.Executor`` (processes, a Dask client's ``get_executor()``): a task is one round of one
            seed. In each process one task runs at a time, since threads share torch's random state: threads gain nothing.
        resume: a file (JSON lines) or a dict that rounds are kept in as soon as they are done; what it has is not run again.
        every_steps: steps between two looks at S_val. control_rounds: rounds with control arms, by default all.
        output_layer: name of the layer that gives the answer, by default the last one with weights.

    Returns:
        All runs, the same bits however they were distributed, stopped and resumed on one kind of machine.

    Raises:
        InputError: a setting out of range, an executor that is none, rounds kept of other settings. DataError: no labels.
        ModelError: ``build`` gives no network, a trained one, or one whose seeds do not differ. FileError: the file
            of ``resume``.
    """
    lottery = _Lottery(
        build,
        train,
        val,
        test,
        setup,
        rounds,
        rate,
        output_rate,
        rewind_step,
        seeds,
        resume,
        every_steps,
        control_rounds,
        output_layer,
    )
    if executor is None:
        return result_of(lottery.steps())
    return lottery.divided(executor)


def lottery_steps(
    build: Callable[[], nn.Module],
    train: Split,
    val: Split,
    test: Split,
    setup: TrainingSetup,
    rounds: int = 15,
    rate: float = 0.2,
    output_rate: float = 0.1,
    rewind_step: int = 0,
    seeds: Iterable[int] = range(10),
    resume: Resume = None,
    *,
    every_steps: int = 25,
    control_rounds: Iterable[int] | None = None,
    output_layer: str | None = None,
) -> Generator[LotteryProgress, None, LotteryResult]:
    """As `lottery_ticket`, for a job: yields after each part of a training step, returns the result.

    Arguments are checked at the call. Closed early, rounds that are done are in ``resume``.
    """
    return _Lottery(
        build,
        train,
        val,
        test,
        setup,
        rounds,
        rate,
        output_rate,
        rewind_step,
        seeds,
        resume,
        every_steps,
        control_rounds,
        output_layer,
    ).steps()


class _Lottery:
    """A lottery that was checked."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        train: Split,
        val: Split,
        test: Split,
        setup: TrainingSetup,
        rounds: int,
        rate: float,
        output_rate: float,
        rewind_step: int,
        seeds: Iterable[int],
        resume: Resume,
        every_steps: int,
        control_rounds: Iterable[int] | None,
        output_layer: str | None,
    ) -> None:
        check_labelled(train=train, val=val, test=test)
        check_setup(setup)
        for name, share in (("rate", rate), ("output_rate", output_rate)):
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
                raise InputError(f"{name}: got {share!r}, expected a share from 0 to below 1, e.g. 0.2.")
        self.rounds = whole("rounds", rounds, 1)
        self.seeds = whole_seeds(seeds)
        controls = control_rounds if control_rounds is None else frozenset(whole("control_rounds", n, 1) for n in control_rounds)
        first, second = built(build, self.seeds[0]), built(build, self.seeds[0] + 1)
        check_model(first, train)
        layers = weight_layers(first)
        if not layers:
            raise ModelError(
                "build() gave a network without weights that can be pruned; it needs a convolution or a linear layer."
            )
        if all(torch.equal(weight_of(first, layer), weight_of(second, layer)) for layer in layers):
            raise ModelError("build() gave the same weights for two seeds; expected a new, untrained network at each call.")
        names = [layer.name for layer in layers]
        if output_layer is not None and output_layer not in names:
            raise InputError(
                f"output_layer: got {output_layer!r}, which this network does not have; {nearest(output_layer, names)}"
            )
        steps = fit(first, train, setup=setup).steps
        whole("every_steps", every_steps, 1)
        if whole("rewind_step", rewind_step, 0) >= steps:
            raise InputError(f"rewind_step: got {rewind_step}, expected less than the {steps} steps of a run; train longer.")
        self.plan = Plan(
            build, train, val, test, setup, rate, output_rate, output_layer or names[-1], rewind_step, every_steps, controls
        )
        self.settings = {
            "setup": {key: value for key, value in asdict(setup).items() if key != "seed"},
            "rate": rate,
            "output_rate": output_rate,
            "output_layer": self.plan.output_layer,
            "rewind_step": rewind_step,
            "every_steps": every_steps,
            "control_rounds": None if controls is None else sorted(controls),
            "n": {"train": len(train), "val": len(val), "test": len(test)},
            "data": [checksum(split) for split in (train, val, test)],
            "layers": {layer.name: list(layer.shape) for layer in layers},
        }
        self.done = Done(resume, self.settings, _KIND)

    def steps(self) -> Generator[LotteryProgress, None, LotteryResult]:
        """One round after the other."""
        total = len(self.seeds) * sum(len(self.plan.arms(number)) for number in range(self.rounds + 1))
        done = 0
        for seed in self.seeds:
            for number in range(self.rounds + 1):
                text = f"seed {seed}, round {number} of {self.rounds}"
                if (kept := self.done.get((seed, number))) is not None:
                    done += len(kept["runs"])
                    yield LotteryProgress(done, total, text)
                    continue
                rounds = round_steps(self.plan, seed, number, self._masks(seed, number))
                part = 0.0
                while True:
                    try:
                        step = next(rounds)
                    except StopIteration as end:
                        self.done.put(end.value)
                        break
                    run = step if isinstance(step, LotteryRun) else None
                    if run is not None:
                        done, part = done + 1, 0.0
                    elif isinstance(step, float):
                        part = step
                    yield LotteryProgress(done, total, text, run, part)
        return self.result()

    def divided(self, executor: Executor) -> LotteryResult:
        """Each round as a task, the next of a seed when the one before is done; if one fails, those that wait are not begun."""
        check_executor(executor, self.plan.build, "build")

        def next_of(future: Future[dict[str, Any]]) -> set[Future[dict[str, Any]]]:
            record = future.result()
            self.done.put(record)
            return self._submitted(executor, record["seed"])

        finish((future for seed in self.seeds for future in self._submitted(executor, seed)), next_of)
        return self.result()

    def _submitted(self, executor: Executor, seed: int) -> set[Future[dict[str, Any]]]:
        """The next round of a seed, none where all are done."""
        for number in range(self.rounds + 1):
            if self.done.get((seed, number)) is None:
                return {executor.submit(round_task, self.plan, seed, number, self._masks(seed, number))}
        return set()

    def _masks(self, seed: int, number: int) -> dict[str, Mask]:
        """The masks of a round, from the one before; none in round 0."""
        before = self.done.get((seed, number - 1)) if number else None
        return {} if before is None else {name: Mask.from_json(mask) for name, mask in before["next"].items()}

    def result(self) -> LotteryResult:
        """All runs in order."""
        records = (self.done.get((seed, number)) for seed in self.seeds for number in range(self.rounds + 1))
        runs = tuple(LotteryRun(**run) for record in records if record is not None for run in record["runs"])
        return LotteryResult(runs, self.settings)
