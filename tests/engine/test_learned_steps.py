"""Steps between levels that training finds: values and gradients by the paper's formula, where they begin, what keeps them."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle_plan import Small, learned, same_bits
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.compression import CompressionPlan, latent_state, trained_recipe
from nnwidgets.engine.quantization import Grid, LearnedSteps, quantize, rounding_of
from nnwidgets.engine.training._optimizers import optimizer_for

BITS = [1, 2, 3, 4, 8]
SHAPES = {"linear": ((5, 40), 0), "conv": ((6, 3, 3, 3), 0), "transposed": ((3, 4, 2, 2), 1)}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """A fifth of them zero."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=draw) * (torch.rand(shape, generator=draw) > 0.2)


def steps_in(network: nn.Module) -> dict[str, LearnedSteps]:
    return {name: part for name, part in network.named_modules() if isinstance(part, LearnedSteps)}


def learned_recipe(bits: int | dict[str, int] = 3, pruning: E.Pruning | None = None, **settings: object) -> E.Recipe:
    return E.Recipe(pruning, E.Quantization(bits, observer="learned", **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("bits", BITS)
def test_values_and_gradients_are_those_of_the_formula(bits: int, granularity: str, kind: str) -> None:
    """Of weights and steps, inside and beyond the last level; steps below zero count by their size."""
    shape, axis = SHAPES[kind]
    grid = Grid(bits, granularity, axis=axis, observer="learned")
    before = numbers(*shape)
    count = 1 if granularity == "tensor" else shape[axis]
    size = torch.linspace(0.5, 1.5, count) * (1.2 / max(1, 2 ** (bits - 1) - 1))  # a good part lies beyond
    size[::2] *= -1
    down = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = []
    for slow in (True, False):
        weight, steps = before.clone().requires_grad_(), nn.Parameter(size.clone())
        value = learned(weight, grid.shaped(steps, weight), bits) if slow else LearnedSteps(grid, steps)(weight)
        value.backward(down)
        assert weight.grad is not None and steps.grad is not None
        found.append((value.detach(), weight.grad, steps.grad))
    for wanted, got in zip(*found, strict=True):
        torch.testing.assert_close(got, wanted, rtol=2e-4, atol=1e-5)
    if bits > 1:
        assert 0 < int((found[1][1] == 0).sum()) < before.numel()


@given(st.integers(1, 8), st.booleans(), st.integers(0, 10_000))
def test_steps_begin_as_the_paper_says(bits: int, channel: bool, seed: int) -> None:
    """2 mean|w| / sqrt(Q), at one bit mean|w|, of weights that are not zero; codes by rounding half to even, then clipping."""
    weight = numbers(4, 30, seed=seed)
    found = quantize(weight, bits, "channel" if channel else "tensor", observer="learned")
    most = max(1, 2 ** (bits - 1) - 1)
    rows, all_codes = (weight, found.values) if channel else (weight[None], found.values[None])
    for row, scale, codes in zip(rows, found.scale, all_codes, strict=True):
        own = row[row != 0].abs().double().mean() * (1 if bits == 1 else 2 / math.sqrt(most))
        torch.testing.assert_close(scale, own.float(), rtol=1e-6, atol=0)
        wanted = row.sign() if bits == 1 else (row * (1 / scale)).round().clamp(-most, most)
        assert torch.equal(codes.float(), wanted)
    assert not found.dequantized[weight == 0].any() and not found.zero_point.any()


def test_zeros_constants_and_tiny_numbers_have_a_step() -> None:
    """A channel of zeros begins as the tensor does, one of one size at that size, so that it comes back; masks count as zeros."""
    weight = numbers(5, 20)
    weight[1], weight[2], weight[3] = 0.0, -0.37, 0.0
    weight[3, 4] = 0.21
    for bits in BITS:
        found, whole = (quantize(weight, bits, each, observer="learned") for each in ("channel", "tensor"))
        assert torch.equal(found.dequantized[2:4], weight[2:4]) and not found.dequantized[1].any()
        assert float(found.scale[1]) == float(whole.scale) > 0
        mask = torch.rand(5, 20, generator=torch.Generator().manual_seed(3)) > 0.5
        masked = quantize(weight, bits, "channel", mask=mask, observer="learned")
        again = quantize(weight * mask, bits, "channel", observer="learned")
        assert torch.equal(masked.scale, again.scale) and torch.equal(masked.values, again.values)
    for nothing in (torch.zeros(3, 4), torch.full((3, 4), 1e-42), torch.zeros(3, 0)):
        assert quantize(nothing, 4, "channel", observer="learned").scale.tolist() == [1.0] * 3
    assert quantize(weight.half(), 4, observer="learned").dequantized.dtype == torch.float16


def test_halves_go_to_the_even_level_and_what_lies_beyond_is_clipped() -> None:
    grid = Grid(3, "tensor", observer="learned")
    found = grid.quantize(torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5, 3.4, 9.0, -3.6]]), steps=torch.ones(1))
    assert found.values.tolist() == [[0, 2, 2, 0, -2, 3, 3, -3]] and found.inside.tolist() == [[True] * 6 + [False] * 2]
    weight = torch.tensor([[1.0, 9.0, 0.0]])
    report = rounding_of(weight, grid.quantize(weight, steps=torch.tensor([0.5])), 0)
    assert (report.n, report.clipped, report.ends.tolist()) == (2, 1, [[-1.5, 1.5]])


@pytest.mark.parametrize("settings", [{"symmetric": False}, {"power_of_two": True}, {"method": "ternary"}])
def test_grids_that_steps_do_not_go_with_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(E.InputError, match="observer='learned'"):
        Grid(2, observer="learned", **settings)  # type: ignore[arg-type]


def test_steps_are_trained_and_found_again() -> None:
    """The recipe as trained gives each layer its own steps, by name; two training steps move them; JSON keeps the last bit."""
    net, recipe = Small(), learned_recipe({"conv1": 4, "up": 2, "hidden": 1})
    twin = E.compress(net, recipe)
    before = trained_recipe(twin, recipe)
    assert before.quantization is not None and before.quantization.scales is not None
    assert {name: len(steps) for name, steps in before.quantization.scales.items()} == {"conv1": 6, "up": 2, "hidden": 128}
    assert same_bits(E.bake(E.compress(net, before)), E.bake(E.compress(net, recipe)))
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    nn.functional.cross_entropy(twin(torch.rand(8, *Small.shape)), torch.arange(8) % 5).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    after = trained_recipe(twin, recipe)
    assert after != before and E.Recipe.from_json(after.to_json()) == after and hash(after) != hash(before)
    fresh = Small(seed=4)
    fresh.load_state_dict(latent_state(twin))
    assert same_bits(E.bake(E.compress(fresh, after)), E.bake(twin))
    plain = E.Recipe(E.Pruning(0.5), E.Quantization(4))
    assert trained_recipe(E.compress(net, plain), plain) == plain


def test_a_tied_weight_has_one_set_of_steps() -> None:
    """Wherever it is used, also in a deep copy; a frozen weight has frozen steps."""
    net = Small()
    net.out.weight.requires_grad_(False)
    for twin in (made := E.compress(net, learned_recipe()), copy.deepcopy(made)):
        found = steps_in(twin)
        tied = [part.steps for name, part in found.items() if name.startswith(("hidden", "tied"))]
        assert len(tied) == 2 and tied[0] is tied[1]
        assert [part.steps.requires_grad for name, part in found.items() if name.startswith("out")] == [False]
    (changed,) = {id(part.steps): part for name, part in steps_in(made).items() if name.startswith("conv1")}.values()
    other = copy.deepcopy(made)
    with torch.no_grad():
        changed.steps.mul_(2)
    assert not torch.equal(E.bake(other).get_parameter("conv1.weight"), E.bake(made).get_parameter("conv1.weight"))


def test_a_step_never_turns_round_or_vanishes() -> None:
    """Below zero it counts by its size, and its gradient pushes the size; at zero it is tiny, and what comes out is finite."""
    grid = Grid(3, "tensor", observer="learned")
    weight = torch.tensor([[0.3, -0.8, 1.9]])
    results = []
    for start in (0.5, -0.5, 0.0):
        part = LearnedSteps(grid, nn.Parameter(torch.tensor([start])))
        value = part(weight)
        value.sum().backward()
        assert part.steps.grad is not None and bool(torch.isfinite(value).all()) and bool(torch.isfinite(part.steps.grad).all())
        assert part.found[0] > 0
        results.append((value, float(part.steps.grad)))
    assert torch.equal(results[0][0], results[1][0]) and results[0][1] == -results[1][1] != 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_weight_decay_leaves_steps_alone(optimizer: str) -> None:
    """Without a gradient weights shrink and steps stay; without decay, or without steps, there is one group as before."""
    setup = E.TrainingSetup(optimizer, lr=0.1, weight_decay=0.5)
    twin = E.compress(Small(), learned_recipe())
    own = [each for each in twin.parameters() if each.requires_grad]
    made = optimizer_for(own, setup, twin)
    steps = {id(part.steps) for part in steps_in(twin).values()}
    before = [each.detach().clone() for each in own]
    for each in own:
        each.grad = torch.zeros_like(each)
    made.step()
    for each, was in zip(own, before, strict=True):
        assert torch.equal(each, was) == (id(each) in steps), each.shape
    assert sum(len(group["params"]) for group in made.param_groups) == len(own)
    assert len(optimizer_for(own, E.TrainingSetup(optimizer), twin).param_groups) == 1
    plain = Small()
    assert len(optimizer_for(list(plain.parameters()), setup, plain).param_groups) == 1


def data(n: int = 240, seed: int = 0) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = 0.5 * torch.randn(n, 6, generator=draw)
    images[torch.arange(n), labels] += 2.0
    return E.Split(images, labels)


def made() -> E.Experiment:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)).eval()
    return E.Experiment(model, train=data(), test=data(90, 1))


SETUP = E.TrainingSetup(lr=0.01, epochs=4, batch_size=32, weight_decay=0.01)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_training_lowers_the_loss_and_moves_the_steps(bits: int) -> None:
    """A run that is resumed in its middle ends with the same bits."""
    exp, recipe = made(), learned_recipe(bits, E.Pruning(0.3))
    twin = E.compress(exp.model, recipe)
    start = trained_recipe(twin, recipe)
    losses = [record.loss for record in E.fit(twin, data(), setup=SETUP)]
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4]) and trained_recipe(twin, recipe) != start
    half = E.compress(exp.model, recipe)
    run = E.fit(half, data(), setup=SETUP)
    for _ in range(9):
        next(run)
    again = E.compress(exp.model, recipe)
    for _ in E.fit(again, data(), setup=SETUP, resume=run.state()):
        pass
    assert same_bits(again, twin)
    for name, mask in CompressionPlan(exp.model, (6,)).masks(recipe).items():
        weight = twin.get_submodule(name).weight
        assert isinstance(weight, Tensor) and not weight[~mask].any() and bool(weight.any())
    exp.close()


@pytest.mark.parametrize("pruning", [None, E.Pruning(0.4), E.Pruning(0.25, "neuron")])
def test_a_fine_tuned_state_is_the_trained_network(pruning: E.Pruning | None, tmp_path: Path) -> None:
    """Bit for bit, after undo and redo, as text with its weights in a file, packed, and as a smaller network."""
    exp, recipe = made(), learned_recipe(3, pruning)
    exp.apply(recipe)
    wanted = exp.bench(None).plan.compressed(recipe)
    for _ in E.fit(wanted, exp.train, setup=SETUP):  # type: ignore[arg-type]
        pass
    state = exp.fine_tune(SETUP)
    assert state.recipe == trained_recipe(wanted, recipe) != recipe and state.attempt is not None
    assert (state.attempt.recipe, state.attempt.result) == (recipe, state.recipe)
    assert same_bits(E.bake(exp.compressed), E.bake(wanted))
    assert exp.undo() and exp.recipe == recipe and exp.redo() and exp.state == state
    assert same_bits(E.bake(exp.compressed), E.bake(wanted))
    assert state.weights_key is not None
    exp.weights.save(state.weights_key, tmp_path / "weights")
    other = E.Experiment.from_json(exp.to_json(), made().model, train=data(), test=data(90, 1))
    other.load_weights(tmp_path / "weights")
    assert other.redo() and other.state == state and same_bits(E.bake(other.compressed), E.bake(wanted))
    plan = exp.bench(state.weights_key).plan
    size = plan.save(state.recipe, tmp_path / "packed")
    assert size == plan.figures(state.recipe).bytes_encoded
    plain = copy.deepcopy(exp.model)
    E.load_packed(tmp_path / "packed", plain)
    assert same_bits(plain, E.bake(wanted).eval())
    base = exp.bench(state.weights_key).base
    small, x = E.materialize(base, state.recipe, (6,)), data(20, 7).images
    torch.testing.assert_close(small(x), E.bake(wanted).eval()(x))
    report = plan.rounding(state.recipe, "3")
    assert report is not None and state.recipe.quantization is not None and state.recipe.quantization.scales is not None
    assert tuple(report.quantized.scale.tolist()) == state.recipe.quantization.scales["3"]
    other.close()
    exp.close()


def test_rounds_go_on_from_the_steps_that_were_found() -> None:
    """Each round's state is the network that was trained; fine-tuning goes on from it; new weights have steps of their own."""
    exp = made()
    exp.apply(learned_recipe(2, E.Pruning(0.6)))
    records = exp.prune(E.Schedule("iterative", 2, 2), SETUP)
    for state, record in zip(exp.history[-2:], records, strict=True):
        assert state.recipe == record.recipe and record.recipe.quantization is not None
        assert set(record.recipe.quantization.scales or ()) == {"0", "3"}
        assert E.evaluate(E.bake(exp.bench(state.weights_key).plan.compressed(state.recipe)), exp.val).accuracy == record.accuracy  # type: ignore[arg-type]
    before = exp.state
    exp.fine_tune(E.TrainingSetup(lr=1e-12, epochs=1))
    was, now = (each.recipe.quantization.scales["3"] for each in (before, exp.state))  # type: ignore[union-attr,index]
    assert was == pytest.approx(now, rel=1e-5)
    recipe = exp.recipe
    exp.recalibrate(64)
    assert exp.recipe == recipe
    assert exp.start_untrained(3).recipe == E.Recipe(recipe.pruning, E.Quantization(2, observer="learned"))
    exp.close()


def test_one_shot_begins_at_the_weights_that_are_kept() -> None:
    """Not at those of the dense network, whose mean is smaller."""
    exp, recipe = made(), learned_recipe(2, E.Pruning(0.8))
    (record,) = E.prune_and_tune(exp.model, data(), recipe, E.Schedule(), E.TrainingSetup(lr=1e-12, batch_size=32))
    kept = trained_recipe(E.compress(exp.model, recipe), recipe).quantization
    found = record.recipe.quantization
    assert kept is not None and found is not None and kept.scales is not None and found.scales is not None
    assert found.scales["0"] == pytest.approx(kept.scales["0"], rel=1e-4)
    exp.close()


def test_comparing_bits_trains_the_steps_of_one_arm() -> None:
    """Static and control begin theirs; scales that were found for other bits are left out."""
    exp = made()
    assert exp.train is not None and exp.val is not None
    settings = E.Quantization(4, observer="learned", scales={"0": [0.1] * 16})
    found = E.compare_bits(exp.model, exp.train, exp.val, (3, 1), settings, SETUP)
    for row in found.itertuples():
        twin = E.compress(exp.model, learned_recipe(int(row.bits)))  # type: ignore[arg-type]
        assert row.static == E.evaluate(twin, exp.val).accuracy
        for _ in E.fit(twin, exp.train, setup=SETUP):
            pass
        assert row.aware == E.evaluate(twin, exp.val).accuracy
    exp.close()


def test_scales_stay_while_what_they_were_found_for_stays() -> None:
    settings = E.Quantization(4, observer="learned", scales={"a": [0.5]})
    assert settings.moved(percentile=90).scales == settings.scales and settings.moved(activation_bits=8).scales is not None
    other = {"weight_bits": 3, "granularity": "tensor", "observer": "mse", "symmetric": False, "power_of_two": True}
    for name, value in other.items():
        assert settings.moved(**{name: value}).scales is None
    assert settings.moved(weight_bits=3, scales={"a": 2}).scales == {"a": (2.0,)}


@pytest.mark.parametrize(
    "bad",
    [3, {"a": []}, {"a": [[1.0]]}, {"a": [0.0]}, {"a": -1}, {"a": [math.nan]}, {"a": math.inf}, {"a": "x"}, {"a": None},
     {"a": 1e-60}, {"a": 1e60}, {"a": [True]}, {"a": [[1], [1, 2]]}, {1: 0.5}],
)  # fmt: skip
def test_bad_scales_are_refused(bad: object) -> None:
    with pytest.raises(E.RecipeError, match="scales"):
        E.Quantization(4, observer="learned", scales=bad)  # type: ignore[arg-type]


def test_scales_are_kept_as_float32_and_compare_by_content() -> None:
    one = E.Quantization(4, observer="learned", scales={"b": torch.tensor([0.1, 0.2]), "a": 0.3})  # type: ignore[dict-item]
    two = E.Quantization(4, observer="learned", scales={"a": [0.3], "b": (0.1, 0.2)})
    assert one == two and hash(one) == hash(two) and one != E.Quantization(4, observer="learned")
    assert torch.tensor(one.scales["b"]).tolist() == torch.tensor([0.1, 0.2]).tolist()  # type: ignore[index]
    with pytest.raises(E.RecipeError, match="that is for weights"):
        E.Quantization(activation_bits=4, activation_observer="learned")


def test_given_steps_are_used_and_remembered_apart() -> None:
    """The same plan with other steps gives other weights; figures follow."""
    net = Small()
    plan = CompressionPlan(net, net.shape)
    weights = []
    for size in (0.05, 0.4):
        recipe = learned_recipe(4, scales={"out": [size] * 5})
        found = plan.quantized(recipe, "out")
        assert found is not None and found.scale.tolist() == pytest.approx([size] * 5)
        assert plan.figures(recipe) == E.cost(net, net.shape, recipe)
        weights.append(plan.effective(recipe, "out"))
    assert not torch.equal(*weights)
