"""Optimal brain surgeon on the output of each layer: scores, the update of one weight, and what many weights make up for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.compression import CompressionPlan, bake, compress
from nnwidgets.engine.pruning.compensate import compensated, saliencies
from nnwidgets.engine.pruning.criteria import importance
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.values.split import Split


def curved(width: int, groups: int = 1, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(groups, 3 * width, width, generator=draw, dtype=torch.float64)
    return x.transpose(1, 2) @ x / (3 * width)


def error(moved: Tensor, hessian: Tensor) -> Tensor:
    """(w' - w)' H (w' - w) / 2 of each row."""
    return 0.5 * torch.einsum("oi,ij,oj->o", moved, hessian, moved)


def test_one_weight_is_removed_by_the_formula_of_obs() -> None:
    """Update -(w_q / [H^-1]_qq) H^-1 e_q, error w² / (2 [H^-1]_qq); without the update H_qq w² / 2, which is not less."""
    hessian, weight = curved(6), torch.randn(1, 6, dtype=torch.float64)
    inverse = torch.linalg.inv(hessian[0])
    scores = saliencies(weight, hessian)
    for q in range(6):
        keep = torch.ones(1, 6, dtype=torch.bool)
        keep[0, q] = False
        wanted = weight[0] - weight[0, q] / inverse[q, q] * inverse[:, q]
        found = compensated(weight, keep, hessian)
        assert torch.allclose(found[0], wanted) and found[0, q] == 0
        assert float(error(found - weight, hessian[0])) == pytest.approx(float(scores[0, q]))
        assert float(scores[0, q]) <= float(0.5 * hessian[0, q, q] * weight[0, q] ** 2) + 1e-12


@pytest.mark.parametrize("kind", ["rows alone", "columns", "mixed", "nothing", "all"])
@pytest.mark.parametrize("groups", [1, 2])
def test_many_weights_are_made_up_for_together(kind: str, groups: int) -> None:
    """The least squares solution for each row, by its own solve."""
    draw = torch.Generator().manual_seed(3)
    hessian, weight = curved(8, groups), torch.randn(10, 8, generator=draw, dtype=torch.float64)
    keep = torch.rand(10, 8, generator=draw) > 0.5
    if kind == "columns":
        keep = keep[:1].expand(10, 8).clone()
    elif kind == "mixed":
        keep[2], keep[3], keep[7] = True, False, keep[6]
    elif kind in ("nothing", "all"):
        keep = torch.full((10, 8), kind == "nothing")
    found = compensated(weight, keep, hessian)
    for row in range(10):
        own, kept = hessian[row // (10 // groups)], keep[row]
        wanted = torch.zeros(8, dtype=torch.float64)
        if kept.any():
            wanted[kept] = torch.linalg.solve(own[kept][:, kept], (own @ weight[row])[kept])
        assert torch.allclose(found[row], wanted, atol=1e-10), row
    assert torch.equal(found == 0, ~keep)


def network(seed: int = 0) -> tuple[nn.Sequential, Split]:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, stride=2, groups=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 5),
    ).eval()  # fmt: skip
    return net, Split(torch.randn(40, 2, 8, 8).repeat_interleave(2, 0), torch.arange(80) % 5)


def test_the_hessian_is_that_of_what_is_read() -> None:
    """Mean x x' over images and places, a hundredth of its mean diagonal added; scores from it."""
    net, split = network()
    found = importance(net, "obs", split)
    assert found.n_images == 80 and not found.missing
    for name in ("0", "2", "5"):
        layer = net[int(name)]
        with torch.no_grad():
            x = net[: int(name)](split.images)
        groups = getattr(layer, "groups", 1)
        if name != "5":
            x = F.unfold(x, 3, padding=1, stride=layer.stride).reshape(80, groups, -1, 64 if name == "0" else 16)
            x = x.permute(1, 0, 3, 2).reshape(groups, -1, x.shape[2])
        x = x.double().reshape(groups, -1, x.shape[-1])
        wanted = x.transpose(1, 2) @ x / x.shape[1]
        wanted += torch.diag_embed(0.01 * wanted.diagonal(dim1=1, dim2=2).mean(1, keepdim=True).expand(-1, x.shape[-1]))
        assert torch.allclose(found.hessians[name], wanted, rtol=1e-5, atol=1e-9)
        assert torch.allclose(found.entries[name].double(), saliencies(layer.weight, wanted), rtol=1e-4)


def test_outputs_change_less_than_without_compensation() -> None:
    """Of one dense layer, where the rest of the network says nothing; grids are laid over the compensated weights."""
    torch.manual_seed(1)
    mix = torch.randn(12, 12)
    net, split = nn.Sequential(nn.Linear(12, 20)), Split(torch.randn(100, 12) @ mix, torch.arange(100) % 20)
    recipe = Recipe(Pruning(0.5, criterion="obs"))
    made_up = bake(compress(net, recipe, split))
    plan = CompressionPlan(net, (12,), split=split)
    plain = torch.where(plan.masks(recipe)["0"], net[0].weight, torch.zeros(()))
    with torch.no_grad():
        wanted = net(split.images)
        with_it = (made_up(split.images) - wanted).square().mean()
        without = (F.linear(split.images, plain, net[0].bias) - wanted).square().mean()
    assert with_it < 0.5 * without
    coarse = Recipe(recipe.pruning, Quantization(4))
    twin = nn.Sequential(nn.Linear(12, 20))
    plan.load(coarse, twin)
    assert torch.equal(twin[0].weight, bake(compress(net, coarse, split))[0].weight)
    assert not torch.equal(twin[0].weight, made_up[0].weight)


def test_what_is_removed_stays_behind_its_mask() -> None:
    """A compensated copy trains as any other; the network that it was made of stays as it is."""
    net, split = network()
    before = [p.detach().clone() for p in net.parameters()]
    copy = compress(net, Recipe(Pruning(0.6, criterion="obs")), split)
    zeros = [module.weight == 0 for module in copy if hasattr(module, "weight")]
    F.cross_entropy(copy(split.images), split.labels).backward()
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter -= 0.1 * parameter.grad
    assert all(
        torch.equal(module.weight == 0, zero)
        for module, zero in zip([m for m in copy if hasattr(m, "weight")], zeros, strict=True)
    )
    assert all(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))


def test_layers_that_are_too_wide_are_named_and_left_whole() -> None:
    """1,200 weights an output; transposed convolutions too."""
    net = nn.Sequential(nn.ConvTranspose2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 21 * 21, 4)).eval()
    split = Split(torch.randn(6, 2, 19, 19), torch.arange(6) % 4)
    found = importance(net, "obs", split)
    assert "1323 weights an output" in found.missing["2"] and "two-dimensional" in found.missing["0"] and not found.entries
