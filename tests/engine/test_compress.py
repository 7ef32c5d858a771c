"""Compressed copies: exact, trainable, and the original untouched."""

from __future__ import annotations

import copy

import pytest
import torch
from oracle_plan import Small, same_bits, smallest
from torch import nn
from torch.nn.utils import parametrizations as torch_parametrizations

from nnwidgets.engine.compression import CompressionPlan, bake, compress, cost, latent_state, trained_recipe
from nnwidgets.engine.errors import ModelError, RecipeError, UnsupportedError
from nnwidgets.engine.quantization import quantize
from nnwidgets.engine.trace import fingerprint, weight_layers, weight_of
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe

RECIPES = [
    Recipe(),
    Recipe(Pruning(0.7)),
    Recipe(Pruning(0.5, allocation="uniform", exclude=("out",))),
    Recipe(Pruning(0.2, allocation={"hidden": 0.9}), Quantization(4, symmetric=False)),
    Recipe(Pruning(0.6, criterion="random", seed=5), Quantization(2, granularity="tensor")),
    Recipe(Pruning(0.3, structure="filter"), Quantization(8, granularity="tensor", symmetric=False)),
    Recipe(None, Quantization({"conv1": 3, "out": 1})),
    Recipe(None, Quantization(1)),
    Recipe(Pruning(0.4), Quantization(2, method="ternary")),
    Recipe(None, Quantization({"conv1": 1, "out": 32}, method="binary", granularity="tensor")),
    Recipe(Pruning(0.6), Quantization(3, method="codebook")),
    Recipe(None, Quantization({"conv1": 8, "hidden": 5}, method="codebook", symmetric=False)),
    Recipe(Pruning(0.5), Quantization(4, observer="mse", granularity="tensor")),
    Recipe(Pruning(0.3), Quantization(3, symmetric=False, observer="percentile", percentile=95)),
    Recipe(None, Quantization(5, observer="kl", power_of_two=True)),
    Recipe(Pruning(0.5), Quantization({"conv1": 4, "up": 2, "hidden": 1, "out": 8}, observer="learned")),
    Recipe(Pruning(0.3, "filter"), Quantization(3, granularity="tensor", observer="learned")),
]


def train(model: nn.Module, steps: int = 5) -> None:
    """An ordinary loop with momentum and weight decay."""
    model.train()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05, momentum=0.9, weight_decay=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        x = torch.rand(8, *Small.shape, generator=generator)
        nn.functional.cross_entropy(model(x), torch.arange(8) % 5).backward()
        optimizer.step()


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_original_is_not_touched(recipe: Recipe) -> None:
    """FAULTS 30: its fingerprint is the same after compressing, baking and training the copy; random state too."""
    net, state = Small(), torch.get_rng_state()
    before = fingerprint(net)
    twin = compress(net, recipe)
    bake(twin)
    assert torch.equal(state, torch.get_rng_state())
    train(twin)
    assert fingerprint(net) == before


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_baking_gives_a_plain_network_that_computes_the_same(recipe: Recipe) -> None:
    """Same classes, same keys in the same order, same logits to the last bit."""
    net = Small()
    twin = compress(net, recipe)
    plain = bake(twin)
    assert list(plain.state_dict()) == list(net.state_dict())
    assert [type(m) for m in plain.modules()] == [type(m) for m in net.modules()]
    x = torch.rand(3, *net.shape)
    with torch.inference_mode():
        assert torch.equal(twin(x), plain(x))
    if recipe.is_dense:
        assert same_bits(plain, net) and same_bits(twin, net)


def test_effective_weights_are_masked_then_rounded() -> None:
    """Against a sort of all weights and the formula, layer by layer; tied weights are one."""
    net = Small()
    layers = {x.name: x for x in weight_layers(net)}
    weights = {n: weight_of(net, x) for n, x in layers.items()}
    assert set(weights) == {"conv1", "conv2", "up", "hidden", "out"}
    plain = bake(compress(net, Recipe(Pruning(0.8), Quantization(3, symmetric=False))))
    for name, mask in smallest(weights, 0.8).items():
        expected = quantize(weights[name], 3, "channel", False, layers[name].out_axis, mask).dequantized
        assert torch.equal(weight_of(plain, layers[name]), expected)
    assert plain.tied.weight is plain.hidden.weight


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_any_training_loop_keeps_masks_and_grids(recipe: Recipe) -> None:
    """What was zero stays exactly zero, each weight stays on a grid, and the weights do move."""
    net = Small()
    twin = compress(net, recipe)
    before = bake(twin)
    train(twin)
    after = bake(twin)
    plan = CompressionPlan(net, net.shape)
    for name, mask in plan.masks(recipe).items():
        layer = next(x for x in weight_layers(net) if x.name == name)
        weight = weight_of(after, layer)
        assert (weight[~mask] == 0).all() and not torch.equal(weight_of(twin, layer), weight_of(net, layer))
        found = plan.quantized(recipe, name)
        if found is not None:
            parts = [weight] if found.axis is None else list(weight.movedim(found.axis, 0))
            assert all(len(part.unique()) <= max(3, 2**found.bits) for part in parts)
            if recipe.quantization is not None and recipe.quantization.observer == "minmax" and found.bits > 2:
                kind = "tensor" if found.axis is None else "channel"
                method = recipe.quantization.method
                again = quantize(weight, found.bits, kind, found.symmetric, layer.out_axis, method=method)
                assert torch.allclose(again.dequantized, weight, atol=1e-6)
    assert not same_bits(before, after)
    if recipe.pruning is not None and recipe.pruning.structure == "filter":
        gone = after.conv1.weight.abs().sum((1, 2, 3)) == 0
        assert (
            gone.any()
            and (after.conv1.bias[gone] == 0).all()
            and (after.norm1.weight[gone] == 0).all()
            and (after.norm1.bias[gone] == 0).all()
        )


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_latent_weights_give_the_same_network_again(recipe: Recipe) -> None:
    """After training: put into a plain network and compressed by the same recipe, bit for bit what was trained."""
    twin = compress(Small(), recipe)
    train(twin)
    fresh = Small(seed=9)
    fresh.load_state_dict(latent_state(twin))
    assert same_bits(bake(compress(fresh, trained_recipe(twin, recipe))), bake(twin))


def test_zeros_that_are_there_go_first_and_are_counted() -> None:
    """A network with half its weights zero: 0 % pruning counts them, 30 % removes nothing more, 70 % removes 70 %."""
    net = bake(compress(Small(), Recipe(Pruning(0.5))))
    plan = CompressionPlan(net, net.shape)
    total = sum(x.numel for x in plan.layers)
    kept = [sum(x.nonzero for x in plan.figures(Recipe(Pruning(a))).layers.values()) for a in (0, 0.3, 0.7)]
    assert kept == [total - round(0.5 * total), total - round(0.5 * total), total - round(0.7 * total)]
    work = copy.deepcopy(net)
    plan.load(Recipe(Pruning(0.3)), work)
    assert same_bits(work, net)


def test_training_flags_devices_and_gradients_are_as_they_were() -> None:
    """A frozen layer stays frozen, a network in train mode stays in it."""
    net = Small().train()
    net.norm1.eval()
    net.conv1.weight.requires_grad_(False)
    twin = compress(net, Recipe(Pruning(0.5), Quantization(4)))
    flags = {name: module.training for name, module in net.named_modules()}
    assert all(module.training == flags[name] for name, module in twin.named_modules() if name in flags)
    plain = bake(twin)
    assert not plain.conv1.weight.requires_grad and plain.conv2.weight.requires_grad
    assert all(module.training == flags[name] for name, module in plain.named_modules())


def test_a_copy_made_inside_inference_mode_can_be_trained() -> None:
    """Its tensors are ordinary ones."""
    with torch.inference_mode():
        twin = compress(Small(), Recipe(Pruning(0.5), Quantization(4)))
        plain = bake(twin)
    train(twin, 1)
    train(plain, 1)
    assert not any(p.is_inference() for p in twin.parameters())


def test_attention_and_its_fast_path() -> None:
    """Packed projections are masked; the fused kernel of eval mode sees them too."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.Flatten(), nn.Linear(80, 3)).eval()
    recipe = Recipe(Pruning(0.5), Quantization(4))
    twin, x = compress(net, recipe), torch.rand(2, 5, 16)
    plain = bake(twin)
    with torch.inference_mode():
        assert torch.allclose(twin(x), plain(x), atol=1e-6) and not torch.allclose(twin(x), net(x), atol=1e-3)
    share = float((plain[0].self_attn.in_proj_weight == 0).float().mean())  # type: ignore[union-attr]
    assert list(plain.state_dict()) == list(net.state_dict()) and share > 0.2
    assert CompressionPlan(net, (5, 16)).figures(recipe) == cost(net, (5, 16), recipe)


UNSUPPORTED = [
    Recipe(None, Quantization(8, rounding="stochastic")),
]


@pytest.mark.parametrize("recipe", UNSUPPORTED, ids=str)
def test_what_cannot_be_applied_yet_is_refused_by_name(recipe: Recipe) -> None:
    """With what can; by the plan as by compress."""
    net = Small()
    plan = CompressionPlan(net, net.shape)
    for ask in (lambda: compress(net, recipe), lambda: plan.figures(recipe), lambda: plan.load(recipe, net)):
        with pytest.raises(UnsupportedError, match="it can do"):
            ask()


MISFITS = [
    (Recipe(Pruning(0.5, exclude=("conv",))), "did you mean 'conv"),
    (Recipe(Pruning(0.5, allocation={"norm1": 0.5})), "norm1"),
    (Recipe(Pruning(0.5, masks={"fc9": [1]})), "fc9"),
    (Recipe(Pruning(0.5, masks={"conv1": [1]})), "another network"),
    (Recipe(None, Quantization({"bogus": 4})), "bogus"),
    (Recipe(None, Quantization(4, method="ternary")), "Use weight_bits=2"),
    (Recipe(None, Quantization({"conv1": 8}, method="binary")), "Use weight_bits=1"),
    (Recipe(None, Quantization(2, method="ternary", symmetric=False)), "use symmetric=True"),
    (Recipe(None, Quantization(4, method="codebook", power_of_two=True)), "use power_of_two=False"),
    (Recipe(None, Quantization(2, method="ternary", observer="learned")), "Use method='affine'"),
    (Recipe(None, Quantization(4, symmetric=False, observer="learned")), "Use symmetric=True"),
    (Recipe(None, Quantization(4, power_of_two=True, observer="learned")), "Use power_of_two=False"),
    (Recipe(None, Quantization(4, scales={"conv1": 0.1})), "Use observer='learned'"),
    (Recipe(None, Quantization(4, observer="learned", scales={"conv9": 0.1})), "did you mean 'conv"),
    (Recipe(None, Quantization(4, observer="learned", scales={"out": [0.1, 0.2]})), r"scales\['out'\] has 2 steps; expected 5"),
    (Recipe(None, Quantization(4, granularity="tensor", observer="learned", scales={"up": [0.1] * 4})), "4 steps; expected 1"),
    (Recipe(None, Quantization({"out": 4}, observer="learned", scales={"conv1": [0.1] * 6})), "are not rounded"),
]


@pytest.mark.parametrize(("recipe", "words"), MISFITS, ids=lambda x: str(x)[:60])
def test_a_recipe_of_another_network_is_refused(recipe: Recipe, words: str) -> None:
    """By the name that does not fit."""
    with pytest.raises(RecipeError, match=words):
        compress(Small(), recipe)


def test_given_masks_are_used_as_they_are() -> None:
    """The amount does not matter; other layers stay whole. A tied weight may be called by its other name."""
    net = Small()
    mask = torch.rand(128, 128) > 0.5
    plain = bake(compress(net, Recipe(Pruning(0.99, masks={"tied": Mask.from_array(mask)}))))
    assert torch.equal(plain.hidden.weight, net.hidden.weight * mask) and torch.equal(plain.out.weight, net.out.weight)


def test_random_masks_depend_on_the_seed_and_the_names_alone() -> None:
    """Other weights, same masks; other seed, other masks."""
    first, second = (CompressionPlan(Small(s), Small.shape) for s in (0, 1))
    one, two, three = (
        plan.masks(Recipe(Pruning(0.5, criterion="random", seed=s))) for plan, s in ((first, 3), (second, 3), (first, 4))
    )
    assert all(torch.equal(one[n], two[n]) for n in one) and not any(torch.equal(one[n], three[n]) for n in one)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    """FAULTS 33: a plan can still be made and describes the dense network; anything else names the layer."""
    net = Small()
    with torch.no_grad():
        net.conv2.weight[0, 0, 0, 0] = bad
    plan = CompressionPlan(net, net.shape)
    assert plan.figures(Recipe()).params == sum(p.numel() for p in net.parameters())
    for recipe in (Recipe(Pruning(0.5)), Recipe(None, Quantization(8)), Recipe(Pruning(0.2, "filter"))):
        with pytest.raises(ModelError, match="conv2"):
            compress(net, recipe)
        with pytest.raises(ModelError, match="conv2"):
            plan.figures(recipe)


def test_what_is_parametrized_already_is_refused() -> None:
    """A user's spectral norm, and our own masks."""
    net = nn.Sequential(torch_parametrizations.spectral_norm(nn.Linear(4, 4)), nn.Linear(4, 2))
    with pytest.raises(UnsupportedError, match="'0'"):
        compress(net, Recipe(Pruning(0.5)))
    twin = compress(Small(), Recipe(Pruning(0.5)))
    with pytest.raises(UnsupportedError, match="bake"):
        compress(twin, Recipe(Pruning(0.5)))
    with pytest.raises(ModelError, match="bake"):
        CompressionPlan(twin, Small.shape)


def test_what_is_no_network_or_recipe_is_refused() -> None:
    """Also a network without numbers."""
    with pytest.raises(RecipeError, match="Recipe"):
        compress(Small(), 0.5)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="Module"):
        compress("net", Recipe())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="meta"):
        compress(Small().to("meta"), Recipe(Pruning(0.5)))
