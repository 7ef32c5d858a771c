"""FAULTS.md rows 29-33 and 42 for every public call of the engine, not for one of them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment import Event, Experiment
from nnwidgets.engine.trace import fingerprint

SHAPE = (1, 8, 8)
RECIPES = [E.Recipe(E.Pruning(0.5), E.Quantization(4)), E.Recipe(E.Pruning(0.3, structure="filter"))]

ROUNDED = E.Recipe(None, E.Quantization(4, activation_bits=8))


def net(seed: int = 0) -> nn.Sequential:
    """Batch-norm and dropout, in train mode, one parameter frozen, a gradient on another."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Conv2d(6, 4, 3), nn.Flatten(),
            nn.Linear(64, 3),
        )  # fmt: skip
    model[0].bias.requires_grad_(False)
    model[6].weight.grad = torch.ones_like(model[6].weight)
    model[3].eval()
    return model


def split(n: int = 60) -> E.Split:
    draw = torch.Generator().manual_seed(1)
    return E.Split(torch.rand(n, *SHAPE, generator=draw), torch.arange(n) % 3)


CALLS: dict[str, Callable[[nn.Module, Path], Any]] = {
    "evaluate": lambda model, _: E.evaluate(model, split()).accuracy,
    "evaluate, bfloat16": lambda model, _: E.evaluate(model, split(), dtype="bfloat16").accuracy,
    "stream_accuracy": lambda model, _: [estimate.accuracy for estimate in E.stream_accuracy(model, split(), half_width=None)][
        -1
    ],
    "stream_accuracy, left early": lambda model, _: next(iter(E.stream_accuracy(model, split()))).n_seen > 0,
    "layers": lambda model, _: E.layers(model, SHAPE).macs.sum(),
    "cost": lambda model, _: [E.cost(model, SHAPE, recipe).bytes_encoded for recipe in RECIPES],
    "latency": lambda model, _: E.latency(model, SHAPE, runs=3).runs,
    "compress": lambda model, _: [fingerprint(E.compress(model, recipe, input_shape=SHAPE)) for recipe in RECIPES],
    "save_packed": lambda model, folder: E.save_packed(model, RECIPES[0], folder / "net", overwrite=True),
    "calibrate": lambda model, _: [(seen.module, seen.low, seen.high) for seen in E.calibrate(model, split()).inputs.values()],
    "integer": lambda model, _: E.integer(model, ROUNDED, split())(split(4).images).tolist(),
    "equalize": lambda model, _: fingerprint(E.equalize(model, SHAPE)),
    "correct_bias": lambda model, _: fingerprint(E.correct_bias(model, ROUNDED, split())),
    "fingerprint": lambda model, _: E.fingerprint(model),
    "Experiment": lambda model, _: lived(model),
}


def lived(model: nn.Module) -> Any:
    """A subscribed experiment, moved and at rest."""
    exp = Experiment(model, train=split(), test=split())
    exp.subscribe(lambda event: None)
    for recipe in RECIPES:
        exp.apply(recipe)
        assert exp.wait(60)
    accuracy = exp.live.estimate
    exp.fine_tune(E.TrainingSetup(epochs=1))
    assert exp.wait(60)
    exp.close()
    return accuracy


def everything(model: nn.Module) -> tuple[Any, ...]:
    """What row 30 and 32 speak of."""
    grads = [(id(p.grad), None if p.grad is None else p.grad.clone().tolist(), p.requires_grad) for p in model.parameters()]
    hooks = [[len(getattr(module, name)) for name in vars(module) if name.endswith("_hooks")] for module in model.modules()]
    draws = torch.get_rng_state().tolist(), random.getstate(), [str(part) for part in np.random.get_state()]
    return fingerprint(model), [module.training for module in model.modules()], grads, hooks, draws


@pytest.mark.parametrize("name", CALLS)
def test_rows_30_and_32_after_every_call_the_network_and_the_random_states_are_as_before(name: str, tmp_path: Path) -> None:
    model = net()
    before = everything(model)
    first = CALLS[name](model, tmp_path)
    assert everything(model) == before
    assert CALLS[name](model, tmp_path) == first, "the same seed, the same result"


class Fuse(nn.Module):
    """Passes its input on, and raises from the n-th call on."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls -= 1
        if self.calls < 0:
            raise RuntimeError("blown")
        return x


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
@pytest.mark.parametrize("name", CALLS)
def test_row_29_a_forward_that_raises_leaves_the_users_hooks_and_no_others(name: str, calls: int, tmp_path: Path) -> None:
    model = net()
    model.insert(2, Fuse(calls))
    ran: list[str] = []
    model[0].register_forward_hook(lambda *_: ran.append("forward"))
    model[0].register_forward_pre_hook(lambda *_: ran.append("before"))
    model.register_full_backward_hook(lambda *_: None)
    before = everything(model)
    try:
        CALLS[name](model, tmp_path)
    except (E.NnwError, RuntimeError) as error:
        assert "blown" in str(error)
    assert everything(model) == before


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("where", ["meta", "mixed"])
def test_row_42_a_network_without_numbers_or_on_two_devices_is_refused_or_only_counted(
    name: str, where: str, tmp_path: Path
) -> None:
    """What needs no numbers is answered on the meta device; nothing is moved."""
    model = net()
    (model if where == "meta" else model[6]).to("meta")
    devices = [str(tensor.device) for tensor in model.state_dict().values()]
    if name == "layers" or (name, where) == ("fingerprint", "mixed") or name == "fingerprint":
        CALLS[name](model, tmp_path)
    else:
        with pytest.raises(E.NnwError, match=r"meta|devices|finite") as found:
            CALLS[name](model, tmp_path)
        assert len(str(found.value)) > 40
    assert [str(tensor.device) for tensor in model.state_dict().values()] == devices


def test_row_42_images_on_another_device_are_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with CUDA, where the data stayed on the CPU or the other way round."""
    monkeypatch.setattr(E.Split, "device", property(lambda self: torch.device("cuda", 0)))
    for call in (
        lambda: E.evaluate(net(), split()),
        lambda: next(iter(E.stream_accuracy(net(), split()))),
        lambda: E.fit(net(), split()),
        lambda: Experiment(net(), test=split()),
        lambda: E.calibrate(net(), split()),
        lambda: E.integer(net(), ROUNDED, split()),
        lambda: E.correct_bias(net(), ROUNDED, split()),
    ):
        with pytest.raises(E.DataError, match=r"cuda:0, the network on cpu.*nothing is moved silently"):
            call()


@pytest.mark.slow
def test_row_31_evaluating_while_other_threads_compress_is_never_a_mixture() -> None:
    """0 torn of 10,000: each answer is that of one recipe as a whole, and of the one that it is shown for."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 3)).eval()
    data = E.Split(torch.randn(48, 16), torch.arange(48) % 3)
    recipes = [E.Recipe(), *(E.Recipe(E.Pruning(amount / 10)) for amount in range(3, 10)), E.Recipe(None, E.Quantization(2))]
    logits = [E.compress(model, recipe)(data.images).detach() for recipe in recipes]
    expected = [E.evaluate(E.compress(model, recipe), data).accuracy for recipe in recipes]
    assert len(set(expected)) > 3, "recipes can be told apart"
    exp = Experiment(model, test=data)
    torn: list[object] = []

    def heard(event: Event) -> None:
        estimate = exp.live.estimate
        if event.kind == "estimate" and estimate is not None and estimate.final:
            torn.extend([exp.live.state.recipe] * (estimate.accuracy != expected[recipes.index(exp.live.state.recipe)]))

    exp.subscribe(heard)
    over = threading.Event()

    def move(seed: int) -> None:
        draw = random.Random(seed)
        while not over.is_set():
            exp.request(draw.choice(recipes))
            E.compress(model, draw.choice(recipes))
            over.wait(0.001)

    movers = [threading.Thread(target=move, args=(seed,)) for seed in range(2)]
    for mover in movers:
        mover.start()
    try:
        with torch.inference_mode():
            for turn in range(10_000):
                if turn % 10:
                    torn += [turn] * (not torch.equal(model(data.images), logits[0]))
                else:
                    answer = exp.compressed(data.images)
                    torn += [turn] * (not any(torch.equal(answer, whole) for whole in logits))
    finally:
        over.set()
        for mover in movers:
            mover.join(60)
    assert exp.wait(60)
    assert torn == []
    exp.close()


@pytest.mark.parametrize("name", ["compress", "calibrate", "integer", "equalize", "correct_bias"])
def test_row_33_weights_that_are_nan_are_refused_in_words(name: str, tmp_path: Path) -> None:
    """Nothing is rounded by them."""
    model = net()
    with torch.no_grad():
        model[4].weight.view(-1)[0] = torch.nan  # type: ignore[operator]
    with pytest.raises(E.ModelError, match=r"NaN|finite"):
        CALLS[name](model, tmp_path)
