"""Weights by a codebook: values against a slow twin, what is exact, files, training, and what has no integer form."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_plan import Small, same_bits, shared
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.compression import CompressionPlan, bake, compress, latent_state, load_packed, save_packed
from nnwidgets.engine.costs import energy_of
from nnwidgets.engine.errors import InputError, ModelError
from nnwidgets.engine.quantization import FakeQuantize, Grid, Quantized, quantize, rounding_of
from nnwidgets.engine.quantization.codebook import codebook_for, nearest_codes
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe


def numbers(n: int = 300, zeros: float = 0.3, seed: int = 0) -> Tensor:
    """Heavy tails, a share of them zero."""
    draw = torch.Generator().manual_seed(seed)
    found = torch.randn(n, generator=draw) ** 3
    return torch.where(torch.rand(n, generator=draw) < zeros, torch.zeros(n), found).reshape(-1, 4)


def by_codebook(weight: Tensor, bits: int, mask: Tensor | None = None) -> Quantized:
    return quantize(weight, bits, mask=mask, method="codebook")


@pytest.mark.parametrize("zeros", [0.0, 0.3])
@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
def test_it_is_that_of_the_slow_twin(bits: int, zeros: float) -> None:
    """Values, and each weight on the nearest; zeros on a zero of their own."""
    weight = numbers(zeros=zeros)
    found = by_codebook(weight, bits)
    book, on_it = shared(weight, bits)
    assert found.codebook is not None and len(found.codebook) == 2**bits
    assert np.allclose(found.codebook.numpy(), book, atol=1e-6, rtol=1e-6)
    assert np.allclose(found.dequantized.reshape(-1).numpy(), on_it, atol=1e-6, rtol=1e-6)
    assert torch.equal(found.dequantized, found.codebook[found.values.long()]) and found.values.dtype == torch.int16
    assert torch.equal(found.dequantized == 0, weight == 0) and bool(found.inside.all())
    assert found.levels().tolist() == sorted(set(found.codebook.double().tolist()))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-8, 8, width=32), max_size=60), st.integers(1, 8))
def test_few_different_weights_are_kept_and_all_go_to_the_nearest(values: list[float], bits: int) -> None:
    """Exactly where the codebook has room; else no other value would be nearer."""
    weight = torch.tensor(values)
    found = by_codebook(weight, bits)
    assert found.codebook is not None
    if len(set(values) | {0.0}) <= 2**bits:
        assert torch.equal(found.dequantized, weight)
    kept = weight[weight != 0].double()
    assert torch.equal(found.dequantized[weight == 0], weight[weight == 0] * 0)
    rest = found.codebook[found.values.long()[weight != 0]].double()
    used = rest.unique() if len(rest) else rest
    for number, value in zip(kept, rest, strict=True):
        assert float((value - number).abs()) <= float((used - number).abs().min())


@pytest.mark.parametrize("kind", ["normal", "outliers", "one cell", "huge"])
@pytest.mark.parametrize("bits", [3, 8])
def test_many_weights_are_looked_up_as_few_are(kind: str, bits: int) -> None:
    """The table gives what a search gives, or is not used: many values close together, a range that floats do not hold."""
    weight = torch.randn(40_000, generator=torch.Generator().manual_seed(0))
    weight[::3] = 0
    if kind == "outliers":
        weight[:5] = torch.tensor([1e4, -1e4, 3e4, 1e3, 5e5])
    codebook = codebook_for(weight, bits)
    if kind == "one cell":
        codebook = torch.cat([torch.linspace(0, 1e-4, 2**bits - 1), torch.tensor([100.0])])
    if kind == "huge":
        weight, codebook = weight * 6e37, torch.linspace(-3e38, 3e38, 2**bits)
        codebook[2 ** (bits - 1)] = 0
    found = nearest_codes(weight, codebook)
    parts = [nearest_codes(torch.cat([part, torch.zeros(1)]), codebook)[:-1] for part in weight.split(1000)]
    assert torch.equal(found, torch.cat(parts))


def test_what_is_exact_and_what_is_empty() -> None:
    """A constant, all zeros, nothing at all; a mask makes zeros; one bit with zeros leaves one other value."""
    for weight in (torch.full((2, 3), 0.3), torch.zeros(2, 3), torch.zeros(0, 3), torch.tensor([[0.1, -0.1], [0.1, 0.1]])):
        found = by_codebook(weight, 1)
        assert torch.equal(found.dequantized, weight) and found.dequantized.shape == weight.shape
    weight = numbers(zeros=0)
    mask = weight > 0.1
    one = by_codebook(weight, 1, mask)
    assert one.dequantized.unique().tolist() == pytest.approx([0.0, float(weight[mask].mean())])
    assert torch.equal(one.dequantized != 0, mask)
    assert torch.equal(by_codebook(weight, 4, mask).dequantized, by_codebook(weight * mask, 4).dequantized)
    half = by_codebook(weight.half(), 4)
    assert half.dequantized.dtype == torch.float16 and half.codebook is not None and half.codebook.dtype == torch.float32


def test_what_a_codebook_does_not_have_is_said() -> None:
    """No step, no scales, no powers of two; other settings do not matter."""
    weight = numbers()
    found = by_codebook(weight, 3)
    assert (found.n_scales, found.axis, found.widest) == (0, None, None)
    with pytest.raises(InputError, match="uneven"):
        found.scale_of()
    with pytest.raises(InputError, match="has no step"):
        quantize(weight, 3, method="codebook", power_of_two=True)
    other = quantize(weight, 3, "tensor", False, 1, observer="kl", method="codebook")
    assert torch.equal(other.dequantized, found.dequantized)


def test_it_loses_less_than_even_steps_and_never_more_with_more_bits() -> None:
    """On weights with a peak, as those of networks."""
    weight = numbers(20_000, 0.0)
    errors = [float((by_codebook(weight, bits).dequantized - weight).square().sum()) for bits in range(1, 9)]
    assert errors == sorted(errors, reverse=True)
    for bits in (2, 3, 4):
        even = quantize(weight, bits, "tensor", observer="mse").dequantized
        assert errors[bits - 1] < 0.8 * float((even - weight).square().sum())


def test_the_gradient_is_one_everywhere() -> None:
    """Also where a weight is zero; the codebook follows the weights."""
    weight = numbers().requires_grad_()
    layer, upstream = FakeQuantize(Grid(2, method="codebook")), torch.randn(75, 4)
    (layer(weight) * upstream).sum().backward()
    assert weight.grad is not None and torch.equal(weight.grad, upstream)
    with torch.no_grad():
        assert torch.equal(layer(2 * weight), 2 * layer(weight))


def test_training_keeps_zeros_and_few_values_and_can_be_reproduced() -> None:
    """Zeros stay, no layer has more values than its bits, and the latent weights lead to the same network."""
    recipe, net = Recipe(Pruning(0.5), Quantization(3, method="codebook")), Small()
    twin = compress(net, recipe)
    masks = {name: bake(twin).get_parameter(f"{name}.weight") == 0 for name in ("conv1", "hidden", "out")}
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    before = bake(twin).get_parameter("hidden.weight").clone()
    for step in range(4):
        optimizer.zero_grad()
        images = torch.rand(8, *net.shape, generator=torch.Generator().manual_seed(step))
        nn.functional.cross_entropy(twin(images), torch.arange(8) % 5).backward()
        optimizer.step()
    plain = bake(twin)
    for name, gone in masks.items():
        weight = plain.get_parameter(f"{name}.weight")
        assert torch.equal(weight == 0, gone) and len(weight.unique()) <= 8
    assert not torch.equal(plain.get_parameter("hidden.weight"), before)
    again = Small()
    again.load_state_dict(latent_state(twin))
    assert same_bits(bake(compress(again, recipe)), plain)


@pytest.mark.parametrize("amount", [0.0, 0.3, 0.95])
def test_files_are_as_small_as_said_at_every_width(tmp_path: Path, amount: float) -> None:
    """To the byte, back bit for bit; n b / 8 and four bytes for each of 2^b values where nothing is removed."""
    net, path = Small(), tmp_path / "net"
    plan = CompressionPlan(net, net.shape)
    seen = set()
    for bits in range(1, 9):
        recipe = Recipe(Pruning(amount) if amount else None, Quantization(bits, method="codebook"))
        size, figures, target = save_packed(net, recipe, path, overwrite=True), plan.figures(recipe), Small(1)
        assert size == path.stat().st_size == figures.bytes_encoded == plan.save(recipe, tmp_path / f"{bits}")
        load_packed(path, target)
        assert same_bits(target, bake(compress(net, recipe)))
        for row in figures.layers.values():
            assert row.bytes_nominal == math.ceil(row.nonzero * bits / 8)
            if amount == 0:
                assert row.bytes_encoded == math.ceil(row.params * bits / 8) + 4 * 2**bits and row.nonzero == row.params
        seen |= {row.encoding for row in figures.layers.values()}
    assert seen == {0.0: {"dense"}, 0.3: {"dense", "bitmask"}, 0.95: {"dense", "bitmask", "csr"}}[amount]


def test_half_precision_that_holds_no_small_values_is_stored_too(tmp_path: Path) -> None:
    """What the type rounds to zero is zero in the file and in every size."""
    net = nn.Sequential(nn.Linear(40, 30)).half()
    with torch.no_grad():
        net[0].weight[::2] *= 1e-7
    recipe, target = Recipe(None, Quantization(4, method="codebook")), nn.Sequential(nn.Linear(40, 30)).half()
    size = save_packed(net, recipe, tmp_path / "net", input_shape=(40,))
    assert size == CompressionPlan(net, (40,)).figures(recipe).bytes_encoded
    load_packed(tmp_path / "net", target)
    expected = bake(compress(net, recipe, input_shape=(40,)))
    assert torch.equal(target[0].weight, expected[0].weight)  # type: ignore[index]
    row = E.encodings(net, recipe, input_shape=(40,)).set_index("layer").loc["0"]
    assert row["nonzero"] == int(torch.count_nonzero(expected[0].weight))  # type: ignore[index]


def test_a_recipe_leads_to_the_same_weights_after_its_text() -> None:
    """And is refused for weights that are not finite, as every other."""
    recipe, net = Recipe(None, Quantization({"hidden": 3, "conv1": 8}, method="codebook")), Small()
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe and same_bits(bake(compress(net, again)), bake(compress(net, recipe)))
    with torch.no_grad():
        net.out.weight[0, 0] = math.nan
    with pytest.raises(ModelError, match="out hold NaN"):
        compress(net, recipe)


@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_what_is_told_of_it_by_loops(zeros: float) -> None:
    """Counts, signal to noise, ends; a weight is followed to its value, with no step on the way."""
    before = numbers(zeros=zeros)
    on_it = by_codebook(before, 3)
    found = rounding_of(before, on_it, 0)
    pairs = [(float(w), int(q)) for w, q in zip(before.reshape(-1), on_it.values.reshape(-1), strict=True) if w != 0]
    assert found.codes.tolist() == list(range(8)) and found.clipped == 0
    assert found.counts.tolist() == [sum(q == code for _, q in pairs) for code in range(8)]
    assert found.used == len({q for _, q in pairs}) / 8 and on_it.codebook is not None
    noise = sum((float(on_it.codebook[q]) - w) ** 2 for w, q in pairs)
    assert found.sqnr_db == pytest.approx(10 * math.log10(sum(w * w for w, _ in pairs) / noise), abs=1e-3)
    assert found.ends.tolist() == [[float(on_it.codebook[0]), float(on_it.codebook[-1])]]
    one = found.follow(0.9)
    assert (one.scale, one.zero_point, one.ratio, one.clipped, one.channel) == (None, None, None, False, 0)
    assert one.weight == sorted(w for w, _ in pairs)[round(0.9 * (len(pairs) - 1))]
    assert one.value == float(on_it.codebook[one.code]) and (one.weight, one.code) in pairs


def test_values_of_a_codebook_are_multiplied_as_floats() -> None:
    """No layer in integers, with the reason; the estimate of energy has float32 arithmetic, and few bits to read."""
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()
    split = E.Split(torch.randn(16, 2, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3)
    recipe = Recipe(None, Quantization(4, 8, method="codebook"))
    network = E.integer(net, recipe, split)
    assert network.engine == "simulated" and set(network.simulated) == {"0", "3"}
    if E.integer(net, Recipe(None, Quantization(4, 8)), split).engine != "simulated":
        assert all("codebook" in why for why in network.simulated.values())
    with torch.inference_mode():
        assert torch.equal(network(split.images), compress(net, recipe, split)(split.images))
    shared_cost, even = (
        E.cost(net, (2, 6, 6), Recipe(None, Quantization(4, 8, method=m)), calibration=split) for m in ("codebook", "affine")
    )
    assert energy_of(shared_cost, recipe).bits == 32 and energy_of(even, Recipe(None, Quantization(4, 8))).bits == 8
    assert energy_of(shared_cost, recipe).memory_uj == energy_of(even, recipe).memory_uj


def test_what_tries_bits_takes_it_as_any_other_way() -> None:
    """Bits are compared with and without training, scanned and spread by layer, mean errors corrected."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 3)).eval()
    split = E.Split(torch.randn(90, 12, generator=torch.Generator().manual_seed(0)), torch.arange(90) % 3)
    ways = Quantization(method="codebook")
    table = E.compare_bits(net, split, split, (4, 1), ways, E.TrainingSetup(lr=1e-3, epochs=1))
    assert table["bits"].tolist() == [4, 1] and not table[["static", "tuned", "aware"]].isna().any().any()
    recipes = {bits: Recipe(None, Quantization(bits, method="codebook")) for bits in (4, 1)}
    assert table["static"].tolist() == [E.evaluate(compress(net, recipe), split).accuracy for recipe in recipes.values()]
    scan = E.sensitivity_scan(net, split, (4, 2, 1), kind="quantization", settings=ways)
    spread = E.spread_bits(net, scan, 2)
    assert 40 * 12 * spread["0"] + 120 * spread["2"] <= 2 * 600
    rounded, fixed = (compress(model, recipes[1]) for model in (net, E.correct_bias(net, recipes[1], split)))
    with torch.no_grad():
        means = [network(split.images).mean(0) for network in (net, rounded, fixed)]
    assert float((means[2] - means[0]).abs().max()) < float((means[1] - means[0]).abs().max())
