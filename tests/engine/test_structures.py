"""Kernels, n:m patterns and ways to spread the share: against rankings written out."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from oracle_plan import Small
from torch import Tensor, nn

from nnwidgets.engine.compression import CompressionPlan, bake, compress, cost
from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.pruning import erdos_renyi, tolerated
from nnwidgets.engine.pruning.criteria import CRITERIA, importance
from nnwidgets.engine.trace import weight_layers, weight_of
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.split import Split

SINGLE = [name for name, facts in CRITERIA.items() if facts.single]


def sample(n: int = 12) -> Split:
    draw = torch.Generator().manual_seed(5)
    return Split(torch.randn(n, *Small.shape, generator=draw), torch.randint(0, 5, (n,), generator=draw))


def masks(model: nn.Module, pruning: Pruning) -> dict[str, Tensor]:
    plan = CompressionPlan(model, Small.shape, split=sample())
    return plan.masks(Recipe(pruning))


# Kernels


@pytest.mark.parametrize("norm", [1, 2])
def test_the_smallest_kernels_go(norm: int) -> None:
    """Mean |w| or root mean square of each, over all convolutions; dense layers are left whole."""
    model = Small()
    scores = {}
    for name in ("conv1", "conv2", "up"):
        weight = model.get_submodule(name).weight.detach().double()
        flat = weight.reshape(*weight.shape[:2], -1)
        scores.update({(name, *place): float(flat[place].abs().pow(norm).mean() ** (1 / norm)) for place in each(flat.shape[:2])})
    gone = set(sorted(scores, key=lambda key: scores[key])[: round(0.4 * len(scores))])
    found = masks(model, Pruning(0.4, "kernel", norm=norm))
    for name in ("conv1", "conv2", "up"):
        kept = found[name].reshape(*found[name].shape[:2], -1)
        assert torch.equal(kept.all(-1), kept.any(-1))  # whole kernels
        assert {(name, *place) for place in each(kept.shape[:2]) if not kept[place].any()} == {k for k in gone if k[0] == name}
    assert found["hidden"].all() and found["out"].all()


def each(shape: torch.Size) -> list[tuple[int, ...]]:
    return [(i, j) for i in range(shape[0]) for j in range(shape[1])]


def test_kernels_of_a_network_without_any_are_refused() -> None:
    """In words; and a layer by hand that has none."""
    flat = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(RecipeError, match=r"There are no kernels to prune.*Use structure='weight'"):
        compress(flat, Recipe(Pruning(0.5, "kernel")))
    with pytest.raises(RecipeError, match=r"allocation names 'hidden', which has no kernels to prune"):
        masks(Small(), Pruning(0.0, "kernel", allocation={"hidden": 0.5}))


# n:m


@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (1, 4), (3, 4), (2, 8)])
@pytest.mark.parametrize("criterion", ["magnitude", "taylor"])
def test_exactly_n_of_each_m_inputs_are_kept(n: int, m: int, criterion: str) -> None:
    """The largest of them, the first of equal ones; layers whose inputs are no multiple of m are left whole."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(4 * 64, 5)).eval()
    with torch.no_grad():
        model[2].weight[0, :4] = 0.5  # equal
    split = Split(torch.randn(8, 2, 12, 12), torch.arange(8) % 5)
    plan = CompressionPlan(model, (2, 12, 12), split=split)
    found = plan.masks(Recipe(Pruning(1 - n / m, f"{n}:{m}", criterion)))
    entries = {layer.name: weight_of(model, layer).detach() for layer in weight_layers(model)}
    if criterion != "magnitude":
        entries = dict(importance(model, criterion, split).entries)
    assert found["0"].all() == (m > 2)
    for name in ("2", "4"):
        scores = entries[name].abs().movedim(1, -1).reshape(-1, m)
        kept = found[name].movedim(1, -1).reshape(-1, m)
        assert (kept.sum(1) == n).all()
        for row, flags in zip(scores.tolist(), kept.tolist(), strict=True):
            best = sorted(range(m), key=lambda i: (-row[i], i))[:n]
            assert sorted(best) == [i for i, flag in enumerate(flags) if flag]


def test_a_pattern_removes_its_own_share_and_no_other() -> None:
    """The share that it does remove is told; zero removes nothing."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(RecipeError, match=r"structure='2:4' removes 50\.0% of a layer.*got 30\.0%.*amount=0\.5") as caught:
        compress(model, Recipe(Pruning(0.3, "2:4")))
    assert caught.value.largest == 0.5
    assert CompressionPlan(model, (2, 2, 2)).largest_amount(Pruning(0.3, "1:4")) == 0.75
    assert all(mask.all() for mask in CompressionPlan(model, (2, 2, 2)).masks(Recipe(Pruning(0.0, "2:4"))).values())
    by_hand = CompressionPlan(model, (2, 2, 2)).masks(Recipe(Pruning(0.0, "2:4", allocation={"3": 0.5})))
    assert by_hand["1"].all() and by_hand["3"].sum() == 4
    with pytest.raises(RecipeError, match=r"multiple of 16; this network has none"):
        compress(model, Recipe(Pruning(0.5, "8:16")))


# Every criterion with every structure of single weights


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["weight", "kernel", "2:4"])
@pytest.mark.parametrize("criterion", SINGLE)
def test_figures_and_files_agree_whatever_the_criterion(criterion: str, structure: str) -> None:
    """Instant figures are those of the compressed network, loaded weights are those of the baked one, twice the same."""
    model, split = Small(), sample()
    recipe = Recipe(Pruning(0.5, structure, criterion, seed=2))
    plan = CompressionPlan(model, Small.shape, split=split)
    small = bake(compress(model, recipe, split))
    figures = plan.figures(recipe)
    assert figures == cost(model, Small.shape, recipe, calibration=split)
    own = {layer.name: int(torch.count_nonzero(weight_of(small, layer))) for layer in weight_layers(model)}
    assert {name: layer.nonzero for name, layer in figures.layers.items()} == own
    assert figures.nonzero < figures.params
    if structure != "2:4" and criterion != "obd_hutchinson":
        pieces = plan._decider.chooser.pieces(recipe.pruning)  # type: ignore[arg-type]
        removed = sum(
            (~mask).sum().item() // pieces.weights_in(name)
            for name, mask in plan.masks(recipe).items()
            if name in pieces.table.sizes
        )
        assert removed == round(0.5 * sum(pieces.table.sizes.values()))


@pytest.mark.parametrize("criterion", SINGLE)
def test_the_lowest_scores_go(criterion: str) -> None:
    """Of all layers together: nothing that is kept ranks below what goes."""
    model, split = Small(), sample()
    found = masks(model, Pruning(0.3, criterion=criterion))
    if criterion in ("magnitude", "random"):
        return  # by their own tests
    entries = importance(model, criterion, split).entries
    facts = CRITERIA[criterion]
    scores = torch.cat([(entry if facts.signed else entry.abs()).reshape(-1) for entry in entries.values()])
    kept = torch.cat([found[name].reshape(-1) for name in entries])
    assert scores[~kept].max() <= scores[kept].min() and int((~kept).sum()) == round(0.3 * len(kept))


def test_removed_weights_go_first_again() -> None:
    """A network that was pruned and trained is pruned alike by the same recipe, whatever the sign of its scores."""
    model, split = Small(), sample()
    for criterion in SINGLE:
        recipe = Recipe(Pruning(0.5, criterion=criterion))
        first = compress(model, recipe, split)
        pruned = bake(first)
        again = CompressionPlan(pruned, Small.shape, split=split).masks(recipe)
        for layer in weight_layers(pruned):
            zero = weight_of(pruned, layer) == 0
            assert not bool((again[layer.name] & zero).any()), criterion


# Shares


def test_erdos_renyi_keeps_small_layers() -> None:
    """Kept shares go as sum of sizes over product, none above one, together the amount (Evci et al. 2020)."""
    shapes = {"a": (300, 784), "b": (100, 300), "c": (10, 100)}
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    shares = erdos_renyi(shapes, 0.9)
    kept = {name: 1 - share for name, share in shares.items()}
    ratios = {name: kept[name] * sizes[name] / sum(shapes[name]) for name in shapes}
    assert ratios["a"] == pytest.approx(ratios["b"]) and kept["c"] == 1.0  # 110 / 1000 would be more than one
    assert sum(kept[name] * sizes[name] for name in shapes) == pytest.approx(0.1 * sum(sizes.values()))
    assert erdos_renyi(shapes, 0.0) == pytest.approx(dict.fromkeys(shapes, 0.0))
    found = masks(Small(), Pruning(0.8, allocation="erk"))
    layers = {layer.name: layer.shape for layer in weight_layers(Small())}
    for name, share in erdos_renyi(layers, 0.8).items():
        assert int((~found[name]).sum()) == round(share * found[name].numel())


def test_layers_lose_what_they_bear() -> None:
    """The same accuracy each, by straight lines between what a scan measured; together the amount."""
    drops = {"tough": [(0.5, 0.0), (0.9, 0.01)], "frail": [(0.5, 0.1), (0.9, 0.4)]}
    shares = tolerated({"tough": 100, "frail": 100}, drops, 0.5)
    assert sum(shares.values()) == pytest.approx(1.0) and shares["tough"] > 0.89
    loss = {"tough": lambda s: 0.01 * (s - 0.5) / 0.4 if s < 0.9 else 0.01 + (s - 0.9) / 0.095, "frail": lambda s: 0.2 * s}
    assert loss["tough"](shares["tough"]) == pytest.approx(loss["frail"](shares["frail"]), abs=1e-6)
    flat = tolerated({"a": 10, "b": 30}, {"a": [(0.5, 0.0)], "b": [(0.5, 0.0)]}, 0.25)
    assert (10 * flat["a"] + 30 * flat["b"]) / 40 == pytest.approx(0.25) and flat["a"] == pytest.approx(flat["b"])


def test_sensitivity_needs_a_scan_of_this_network() -> None:
    """Said in words; with one the shares are those of its table."""
    model, split = Small(), sample()
    recipe = Recipe(Pruning(0.5, allocation="sensitivity"))
    with pytest.raises(RecipeError, match=r"needs to know what each layer bears.*sensitivity=E\.sensitivity_scan"):
        compress(model, recipe, split)
    names = [layer.name for layer in weight_layers(model)]
    rows = [(name, amount, 0.1 * i * amount) for i, name in enumerate(names) for amount in (0.5, 0.9)]
    table = pd.DataFrame(rows, columns=["layer", "amount", "drop"])
    pruned = compress(model, recipe, split, sensitivity=table)
    wanted = tolerated(
        {layer.name: layer.numel for layer in weight_layers(model)},
        {name: [(a, d) for n, a, d in rows if n == name] for name in names},
        0.5,
    )
    for layer in weight_layers(bake(pruned)):
        zeros = int((weight_of(bake(pruned), layer) == 0).sum())
        assert zeros == round(wanted[layer.name] * layer.numel)
    with pytest.raises(RecipeError, match=r"says nothing of conv1.*another network"):
        compress(model, recipe, split, sensitivity=table[table["layer"] != "conv1"])
    with pytest.raises(RecipeError, match=r"got DataFrame without the columns drop; expected what"):
        compress(model, recipe, split, sensitivity=table.drop(columns="drop"))


@pytest.mark.parametrize(
    ("pruning", "words"),
    [
        (Pruning(0.5, "weight", "activation"), "judges whole units and says nothing of structure='weight'"),
        (Pruning(0.5, "2:4", "apoz"), "judges whole units"),
        (Pruning(0.5, "weight", "bn_scale"), "Use structure='filter', or a criterion of single weights"),
        (Pruning(0.5, "neuron", "bn_scale"), "needs channels with a batch-norm"),
        (Pruning(0.5, "filter", allocation="erk"), "allocation='erk' is a rule for single weights and kernels"),
        (Pruning(0.5, "2:4", allocation="sensitivity"), "not for structure='2:4'"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(pruning: Pruning, words: str) -> None:
    """Before anything is looked at or changed."""
    with pytest.raises(RecipeError, match=words):
        compress(Small(), Recipe(pruning), sample())
