"""Exact and streamed accuracy: equal to the obvious loop, honest on the way, and nothing is left changed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from oracle_data import accuracy_of, confusion_of, exact_finite_slow
from torch import Tensor, nn

from nnwidgets.engine.errors import DataError, InputError, ModelError
from nnwidgets.engine.evaluation import Frozen, Tally, evaluate, in_batches, in_order, passes, stream_accuracy
from nnwidgets.engine.evaluation import _evaluate as evaluate_module
from nnwidgets.engine.evaluation import _passes as passes_module
from nnwidgets.engine.evaluation.checks import check_weights
from nnwidgets.engine.trace import fingerprint
from nnwidgets.engine.values.intervals import exact_finite, wilson
from nnwidgets.engine.values.split import Split


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 36, 3)
    )


@pytest.fixture
def split() -> Split:
    draw = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (257, 8, 8), generator=draw, dtype=torch.uint8)
    return Split(images, torch.randint(0, 3, (257,), generator=draw), mean=[0.5], std=[0.3])


def test_accuracy_and_confusion_equal_the_obvious_loop(split: Split) -> None:
    model = net()
    found = evaluate(model, split)
    assert found.accuracy == accuracy_of(model, split) and found.error == 1 - found.accuracy
    assert (found.confusion == confusion_of(model, split)).all() and found.confusion.sum() == found.n == 257
    assert found.correct.sum() == np.trace(found.confusion)
    assert (found.low, found.high) == wilson(int(found.correct.sum()), 257)
    assert found.low < found.accuracy < found.high


def test_a_frozen_network_answers_where_it_is_and_takes_back_no_random_numbers(split: Split) -> None:
    model = net().eval()
    drawn = []
    for index, logits in passes(Frozen(model), split):
        assert torch.equal(logits, model(split.inputs(index)).detach())
        drawn.append(float(torch.rand(1)))  # as the user's own code does meanwhile
    assert len(set(drawn)) == len(drawn) > 2


def test_a_pass_over_large_images_begins_with_one_of_them() -> None:
    """Whatever an image takes: nothing tells before the first one."""
    sizes: list[int] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            sizes.append(len(x))
            return x.mean((2, 3))

    list(passes(Frozen(Watched()), Split(torch.rand(20, 3, 224, 224), torch.zeros(20, dtype=torch.int64))))
    assert sizes[0] == 1 and sum(sizes) == 20
    sizes.clear()
    list(passes(Frozen(Watched()), Split(torch.rand(20, 3, 32, 32), torch.zeros(20, dtype=torch.int64))))
    assert sizes[0] == 16


def test_weights_that_are_no_numbers_are_found_in_any_type(split: Split) -> None:
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        for bad in (float("nan"), float("inf"), -float("inf")):
            model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).to(dtype)
            check_weights(model)
            with torch.no_grad():
                model[1].weight[1, 2] = bad  # type: ignore[operator, index, union-attr]
            with pytest.raises(ModelError, match="1 of 192 values"):
                check_weights(model)


def test_row_30_the_network_is_as_it_was(split: Split) -> None:
    model = net().train()
    model[0].weight.requires_grad_(False)  # type: ignore[union-attr]
    model(split.inputs(slice(0, 8))).sum().backward()
    before, grad = fingerprint(model), model[5].weight.grad  # type: ignore[union-attr]
    state = torch.get_rng_state()
    evaluate(model, split)
    assert fingerprint(model) == before and model[5].weight.grad is grad  # type: ignore[union-attr]
    assert torch.equal(torch.get_rng_state(), state), "row 32: the global random state is left alone"


def test_row_29_a_forward_that_raises_leaves_no_hook_and_no_flag(split: Split) -> None:
    class Bomb(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls == 3:
                raise RuntimeError("in the middle")
            return x

    model = nn.Sequential(Bomb(), nn.Flatten(), nn.Linear(64, 3)).train()
    before = fingerprint(model)
    with pytest.raises(RuntimeError, match="in the middle"):
        evaluate(model, split)
    assert fingerprint(model) == before and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_a_pass_left_early_leaves_everything_as_it_was(split: Split) -> None:
    model = net().train()
    before = fingerprint(model)
    running = passes(model, split)
    index, logits = next(running)
    assert len(index) == len(logits) == 16 and not torch.is_inference_mode_enabled()
    assert fingerprint(model) == before, "between two batches the network is as it was"
    running.close()
    assert fingerprint(model) == before


@pytest.mark.parametrize(
    ("once", "each", "low", "high"),
    [(0.0, 0.001, 32, 32), (0.0, 0.030, 1, 1), (0.038, 0.0002, 8, 8), (0.0, 0.00001, 64, 128)],
    ids=["as usual", "a heavy network", "paid once a batch", "a light network"],
)
def test_batches_take_about_the_time_that_was_asked_for(split: Split, once: float, each: float, low: int, high: int) -> None:
    """On a clock that the network moves; batches do not shrink where that saves nothing."""

    class Timed(nn.Module):
        sizes: list[int]

        def forward(self, x: Tensor) -> Tensor:
            self.sizes.append(len(x))
            clock[0] += once + each * len(x)
            return torch.zeros(len(x), 3)

    clock = [0.0]
    model = Timed()
    model.sizes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnwidgets.engine.evaluation._passes.time.perf_counter", lambda: clock[0])
        list(passes(model, split, target_s=0.04))
    settled = model.sizes[4:-1] or model.sizes[3:-1]
    assert model.sizes[0] == 16 and settled and all(low <= size <= high for size in settled)


def test_every_image_is_seen_once_in_the_order_asked_for(split: Split) -> None:
    order = torch.randperm(257)
    seen = torch.cat([index for index, _ in passes(net(), split, in_order(order))])
    assert torch.equal(seen, order)


def test_the_last_estimate_is_exact_and_the_same_seed_gives_the_same_stream(split: Split) -> None:
    model, other = net(), net(5)
    found = list(stream_accuracy(model, split, reference=other, half_width=None))
    own, reference = evaluate(model, split), evaluate(other, split)
    last = found[-1]
    assert last.final and (last.accuracy, last.low, last.high) == (own.accuracy,) * 3
    assert last.difference == pytest.approx(own.accuracy - reference.accuracy)
    assert last.difference == last.difference_low == last.difference_high
    assert [estimate for estimate in found if not estimate.final], "there was something to wait for"
    assert [estimate.n_seen for estimate in found] == sorted({estimate.n_seen for estimate in found})
    for known in (reference, reference.correct):
        assert list(stream_accuracy(model, split, reference=known, half_width=None))[-1] == last


def test_a_stream_stops_at_the_half_width_asked_for(split: Split) -> None:
    found = list(stream_accuracy(net(), split, half_width=0.08))
    assert (found[-1].high - found[-1].low) / 2 <= 0.08 and not found[-1].final
    assert all((estimate.high - estimate.low) / 2 > 0.08 for estimate in found[:-1])


def test_there_is_no_doubt_left_about_what_is_impossible() -> None:
    tally = Tally(10)
    estimate = tally.add(np.arange(9), np.ones(9, bool))
    assert estimate.low >= 0.9 and estimate.high <= 1.0
    estimate = tally.add(np.array([9]), np.zeros(1, bool))
    assert (estimate.low, estimate.high, estimate.final) == (0.9, 0.9, True)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.98, 0.999, 1.0])
@pytest.mark.parametrize("n", [64, 400, 2000, 3900])
def test_the_interval_covers_the_accuracy_of_the_whole_sample(share: float, n: int) -> None:
    """2,000 random subsets each; the interval is exact, so it covers at least 95 times of 100 up to the noise of the count."""
    total, draw = 4000, np.random.default_rng(0)
    right_in_all = round(share * total)
    counts = draw.hypergeometric(right_in_all, total - right_in_all, n, 2000) if right_in_all < total else np.full(2000, n)
    intervals = {int(right): exact_finite(int(right), n, total) for right in np.unique(counts)}
    covered = sum(intervals[int(right)][0] <= right_in_all / total <= intervals[int(right)][1] for right in counts)
    assert covered / 2000 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 2000)


@pytest.mark.parametrize(("right", "n", "total"), [(0, 5, 12), (3, 5, 12), (5, 5, 12), (7, 12, 12), (60, 64, 200)])
def test_the_interval_equals_its_slow_twin(right: int, n: int, total: int) -> None:
    assert exact_finite(right, n, total) == exact_finite_slow(right, n, total)


def test_bfloat16_is_close_and_refused_for_compressed_networks(split: Split) -> None:
    import nnwidgets.engine as engine
    from nnwidgets.engine.values.recipe import Pruning, Recipe

    model = net()
    assert abs(evaluate(model, split, dtype="bfloat16").accuracy - evaluate(model, split).accuracy) < 0.05
    with pytest.raises(InputError, match="compressed"):
        evaluate(engine.compress(model, Recipe(Pruning(0.5))), split, dtype="bfloat16")
    with pytest.raises(InputError, match="float16"):
        evaluate(model, split, dtype="float16")


class Answers(nn.Module):
    """Answers what it was made with, for any batch."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(x)


def nan_net() -> nn.Module:
    model = net()
    with torch.no_grad():
        model[5].bias[0] = math.nan  # type: ignore[union-attr,operator]
    return model


BAD: list[tuple[str, Any, type[Exception], str]] = [
    ("a tuple", Answers(lambda x: (x, x)), ModelError, "tuple"),
    ("a dict", Answers(lambda x: {"out": x}), ModelError, "dict"),
    ("images", Answers(lambda x: x), ModelError, r"logits \(2, K\)"),
    ("classes", Answers(lambda x: torch.zeros(len(x), 3, dtype=torch.int64)), ModelError, "int64"),
    ("a regression", nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), DataError, "regression"),
    ("too few outputs", nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), DataError, "at least 3"),
    ("another shape", nn.Sequential(nn.Flatten(), nn.Linear(99, 3)), ModelError, r"\(2, 1, 8, 8\)"),
    ("NaN weights", nan_net(), ModelError, "5.bias: 1 of 3"),
    ("meta", net().to("meta"), ModelError, "meta"),
    ("NaN answers", Answers(lambda x: torch.full((len(x), 3), math.nan)), ModelError, "NaN or infinity for 16 of 16"),
]


@pytest.mark.parametrize(("model", "kind", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_networks_that_cannot_be_measured_are_said(split: Split, model: nn.Module, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        evaluate(model, split)


def test_row_42_mixed_devices_are_said(split: Split) -> None:
    model = net()
    model[5].to("meta")  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="meta"):
        evaluate(model, split)


def test_row_34_and_35_no_labels_and_one_sample(split: Split) -> None:
    with pytest.raises(DataError, match="labels"):
        evaluate(net(), Split(torch.zeros(3, 1, 8, 8)))
    with pytest.raises(DataError, match="labels"):
        list(stream_accuracy(net(), Split(torch.zeros(3, 1, 8, 8))))
    one = split.take([0])
    assert evaluate(net().train(), one).n == 1
    assert next(stream_accuracy(net(), one)).final


def test_a_reference_of_another_length_or_type_is_refused(split: Split) -> None:
    with pytest.raises(DataError, match="257"):
        next(stream_accuracy(net(), split, reference=np.ones(3, bool)))
    with pytest.raises(InputError, match="float64"):
        next(stream_accuracy(net(), split, reference=np.ones(257)))  # type: ignore[arg-type]


def test_margins_are_those_of_the_obvious_loop(split: Split) -> None:
    model = net().eval()
    found = evaluate(model, split)
    assert split.labels is not None
    with torch.no_grad():
        for i, label in enumerate(split.labels.tolist()):
            logits = model(split.inputs(slice(i, i + 1)))[0].tolist()
            other = max(value for k, value in enumerate(logits) if k != label)
            assert found.margins[i] == pytest.approx(logits[label] - other, abs=1e-5)
    assert ((found.margins > 0) == found.correct).all()


def test_the_fastest_dtype_is_measured_and_never_taken_for_compressed_networks(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nnwidgets.engine as engine
    from nnwidgets.engine.evaluation import _evaluate
    from nnwidgets.engine.values.recipe import Pruning, Recipe

    class Clock:
        """Time that passes by what the network is made of."""

        def __init__(self, quick: torch.dtype) -> None:
            self.now, self.quick = 0.0, quick

        def perf_counter(self) -> float:
            return self.now

    for quick, expected in ((torch.bfloat16, "bfloat16"), (torch.float32, "float32")):
        clock, asked = Clock(quick), []
        model = net()
        model.register_forward_pre_hook(
            lambda _, args, clock=clock: setattr(clock, "now", clock.now + (1 if args[0].dtype == clock.quick else 2))
        )
        monkeypatch.setattr(_evaluate, "time", clock)
        assert _evaluate.fastest_dtype(model, split) == expected
        real = _evaluate.fastest_dtype
        monkeypatch.setattr(_evaluate, "fastest_dtype", lambda *args, asked=asked, real=real: asked.append(1) or real(*args))
        assert evaluate(model, split, dtype="auto").accuracy == evaluate(model, split, dtype=expected).accuracy and asked == [1]
        compressed = engine.compress(model, Recipe(Pruning(0.5)))
        assert evaluate(compressed, split, dtype="auto").accuracy == evaluate(compressed, split).accuracy and asked == [1]
        monkeypatch.setattr(_evaluate, "fastest_dtype", real)


class Clock:
    """Time that only work moves on: so much once a batch, and so much for each image, more of it beyond some."""

    def __init__(self, once: float, each: float, most: int, beyond: float) -> None:
        self.now, self.sizes = 0.0, list[int]()
        self._once, self._each, self._most, self._beyond = once, each, most, beyond

    def work(self, index: Tensor) -> None:
        self.sizes.append(len(index))
        self.now += self._once + self._each * len(index) + self._beyond * max(0, len(index) - self._most)

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("once", "each", "most", "largest", "ends_at"),
    [
        (2e-3, 1e-4, 64, 1024, 64),  # larger ones are dearer an image
        (2e-3, 1e-4, 9999, 128, 128),  # no larger one is allowed
        (0.0, 1e-4, 9999, 1024, 16),  # a larger one gains nothing
        (5e-2, 1e-2, 9999, 1024, 32),  # a larger one would take more than half a second
    ],
)
def test_without_a_time_a_batch_grows_as_long_as_an_image_gets_cheaper(
    monkeypatch: pytest.MonkeyPatch, once: float, each: float, most: int, largest: int, ends_at: int
) -> None:
    clock = Clock(once, each, most, 2e-3)
    monkeypatch.setattr(passes_module, "time", clock)
    list(in_batches(clock.work, in_order(np.arange(4000)), None, largest=largest))
    assert sum(clock.sizes) == 4000 and max(clock.sizes) <= min(largest, 2 * ends_at)
    assert clock.sizes[-2] == ends_at, clock.sizes
    assert clock.sizes[:2] == [16, 16], "each size is measured twice: at first libraries build kernels"


def test_the_exact_pass_is_one_of_these(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []
    real = evaluate_module.passes
    monkeypatch.setattr(
        evaluate_module, "passes", lambda *given, **named: asked.append(named["target_s"]) or real(*given, **named)
    )
    evaluate(net(), split)
    assert asked == [None]
