"""Training step by step."""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import DataError, InputError, ModelError, OutOfMemoryError
from nnwidgets.engine.evaluation import check_model, evaluate
from nnwidgets.engine.evaluation._memory import out_of_memory
from nnwidgets.engine.trace import restore_rng, rng_states, same_rng
from nnwidgets.engine.training._buffers import Buffers, copy_back, saved
from nnwidgets.engine.training._draws import Draws
from nnwidgets.engine.training._optimizers import optimizer_for
from nnwidgets.engine.training._own_steps import rate_at
from nnwidgets.engine.training.augment import augment
from nnwidgets.engine.values.records import StepRecord
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["Run", "fit", "steps_an_epoch"]

_FORMAT = "nnwidgets.run.1"


def fit(
    model: nn.Module,
    train: Split,
    test: Split | None = None,
    setup: TrainingSetup | None = None,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    resume: dict[str, Any] | None = None,
) -> Run:
    """Train a network in place, the only function that does. Iterate over the result: one record a step; stop whenever you like.

    The same seed gives the same weights, and the global random state is left alone. Masks and fake quantization that ``compress``
    put on hold in every step; weight decay leaves steps that are learned alone.

    Args:
        model: trained where it is; parameters without ``requires_grad`` are left alone.
        train: images with labels; test: measured at the end of each epoch where given. One image that would be left for the last
            batch of an epoch joins the batch before: batch-norm cannot learn from one.
        setup: how; loss: ``loss(logits (B, K), labels (B,)) -> scalar``, by default cross entropy.
        resume: what ``Run.state()`` gave, to go on from there bit for bit.

    Raises:
        DataError: no labels, labels without an output, or images on another device. InputError: a state of another run.
        OutOfMemoryError: a step needs more memory than there is; the network is as the step before left it.
        ModelError: nothing to train, answers that are not logits (B, K), and, while running, a loss that is no longer finite,
        with the step and the rate; the network is then as the step before left it.
    """
    return Run(model, train, test, setup or TrainingSetup(), loss or F.cross_entropy, resume)


def steps_an_epoch(images: int, batch_size: int) -> int:
    """Steps of one pass over a sample: a last batch of one image joins the batch before."""
    batches = math.ceil(images / batch_size)
    return batches - 1 if batches > 1 and images % batch_size == 1 else batches


class Run(Iterator[StepRecord]):
    """A training run: an iterator of step records, with ``state()`` to resume and ``close()`` to leave early."""

    def __init__(
        self,
        model: nn.Module,
        train: Split,
        test: Split | None,
        setup: TrainingSetup,
        loss: Callable[[Tensor, Tensor], Tensor],
        resume: dict[str, Any] | None,
    ) -> None:
        if train.labels is None:
            raise DataError("train: got images without labels; training needs Split(images, labels).")
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not self._parameters:
            raise ModelError("the network has no parameter with requires_grad; there is nothing to train.")
        check_model(model, train)
        self._model, self._train, self._test, self._setup, self._loss = model, train, test, setup, loss
        self._batches = steps_an_epoch(train.n, setup.batch_size)
        self._optimizer = optimizer_for(self._parameters, setup, model)
        self._step, self._seconds = 0, 0.0
        self._draw = torch.Generator().manual_seed(setup.seed)
        self._order = torch.randperm(train.n, generator=self._draw)
        self._draws, self._closed = Draws(), False
        if resume is not None:
            self._restore(resume)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self._batches * self._setup.epochs

    def __next__(self) -> StepRecord:
        if self._at_end:
            raise StopIteration
        step = self._one_step()
        while True:
            try:
                next(step)
            except StopIteration as end:
                return cast(StepRecord, end.value)

    def in_parts(self) -> Iterator[StepRecord | None]:
        """The same run in parts, for who has other things to do between: yields None between the batch, the forward pass, the
        backward pass and the update, and the record at the end of each step.

        Training flags, the gradient mode and the global random state are the user's at each yield; what is drawn in between does
        not change the results. Closed within a step, the network is as the step before left it, and the run is over.
        """
        try:
            while not self._at_end:
                yield (yield from self._one_step())
        finally:
            self.close()

    @property
    def _at_end(self) -> bool:
        return self._closed or self._step >= self.steps

    def _one_step(self) -> Generator[None, None, StepRecord]:
        started, spent = time.perf_counter(), 0.0
        epoch, batch = divmod(self._step, self._batches)
        if batch == 0 and self._step:
            self._order = torch.randperm(self._train.n, generator=self._draw)
        rate = rate_at(self._setup, self._step, self.steps)
        parts = self._train_batch(batch, rate)
        while True:
            try:
                next(parts)
            except StopIteration as end:
                loss, wrong = end.value
                break
            except Exception as error:
                if not out_of_memory(error):
                    raise
                traceback.clear_frames(error.__traceback__)  # they hold the activations
                raise OutOfMemoryError(
                    f"there is not enough memory for step {self._step + 1} on a batch of {self._setup.batch_size} images; the "
                    "network is as the step before left it. Use a smaller batch_size, or free memory (other widgets)."
                ) from error
            spent += time.perf_counter() - started
            try:
                yield
            except GeneratorExit:
                parts.close()
                raise
            started = time.perf_counter()
        self._step += 1
        last = self._step % self._batches == 0
        test_error = evaluate(self._model, self._test).error if last and self._test is not None else None
        self._seconds += spent + time.perf_counter() - started
        return StepRecord(self._step, self.steps, epoch + 1, self._setup.epochs, loss, rate, self._seconds, wrong, test_error)

    def _train_batch(self, batch: int, rate: float) -> Generator[None, None, tuple[float, float]]:
        images, labels = self._batch(batch)
        yield
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        buffers = saved(self._model)
        try:
            logits, loss = self._forward_pass(images, labels, buffers)
            self._optimizer.zero_grad(set_to_none=True)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise ModelError(
                    f"the loss became {value} at step {self._step + 1} with a learning rate of {rate:g}; "
                    "try a rate ten times smaller, or look for NaN in the inputs."
                )
            yield
            with self._training(), contextlib.nullcontext() if self._draws.quiet else self._draws.guarded():
                torch.autograd.backward(loss)
            self._draws.end()
            yield
            self._optimizer.step()
        except BaseException:
            copy_back(buffers)  # batch-norm statistics may hold what made the step fail
            raise
        finally:
            self._optimizer.zero_grad(set_to_none=True)
        return value, float((logits.detach().argmax(1) != labels).float().mean())

    def _batch(self, batch: int) -> tuple[Tensor, Tensor]:
        size = self._setup.batch_size
        stop = (batch + 1) * size if batch + 1 < self._batches else self._train.n
        index = self._order[batch * size : stop].to(self._train.device)
        images = augment(self._train.inputs(index), self._setup.augmentation, self._draw)
        return images, self._train.labels[index]  # type: ignore[index]

    def _forward_pass(self, images: Tensor, labels: Tensor, buffers: Buffers) -> tuple[Tensor, Tensor]:
        """Logits and loss. Without a guard where the network seems to draw nothing; if somebody did, once more with one."""
        self._draws.begin(self._setup.seed * 1_000_003 + self._step)
        before = rng_states()
        if self._draws.quiet:
            with self._training():
                logits = self._forward(images)
                loss = self._loss(logits, labels)
            if self._draws.sure or same_rng(before, rng_states()):
                return logits, loss
            copy_back(buffers)
        with self._training(), self._draws.guarded():
            logits = self._forward(images)
            loss = self._loss(logits, labels)
        if self._draws.quiet and self._draws.drew():
            restore_rng(before)  # it was the network
        return logits, loss

    @contextlib.contextmanager
    def _training(self) -> Iterator[None]:
        """Train mode, with gradients."""
        flags = [(module, module.training) for module in self._model.modules()]
        try:
            self._model.train()
            with torch.enable_grad():
                yield
        finally:
            for module, flag in flags:
                module.training = flag

    def _forward(self, images: Tensor) -> Tensor:
        try:
            return self._model(images)  # type: ignore[no-any-return]
        except ValueError as error:
            if len(images) > 1:
                raise
            raise ModelError(
                f"the network cannot be trained on a batch of one image ({error}); batch-norm needs at least two: "
                "give more images, or a larger batch_size."
            ) from error

    def forget(self, parameter: Tensor, where: Tensor) -> None:
        """Set what the optimizer remembers of single weights (momentum, moments) to zero.

        Args:
            parameter: of the network. where: bool of its shape, True where to forget.
        """
        for value in self._optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                value.masked_fill_(where, 0)

    def close(self) -> None:
        """End the run where it is; the network keeps what it has learned so far."""
        self._closed = True

    def state(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit: weights, optimiser, position, order and random state.

        Tensors, numbers, text, lists and dicts: ``torch.save`` writes it, ``torch.load(weights_only=True)`` reads it.
        """
        return {
            "format": _FORMAT,
            "setup": asdict(self._setup),
            "n": self._train.n,
            "step": self._step,
            "seconds": self._seconds,
            "model": {name: value.detach().clone() for name, value in self._model.state_dict().items()},
            "optimizer": _copied(self._optimizer.state_dict()),
            "order": self._order.clone(),
            "draw": self._draw.get_state(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        if state.get("format") != _FORMAT or state.get("setup") != asdict(self._setup) or state.get("n") != self._train.n:
            raise InputError(
                "resume: got a state of another run (setup or sample differ); pass the state() of a run with the same setup "
                "and images."
            )
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(_copied(state["optimizer"]))
        self._step, self._seconds, self._order = state["step"], state["seconds"], state["order"].clone()
        self._draw.set_state(state["draw"])


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
