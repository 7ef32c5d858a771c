"""Kinds of arithmetic timed in the lab, without a browser."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from front import click, from_front
from small_data import dense, vectors

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.integers import engines, kernels
from nnwidgets.engine.integers.held import Held, WeightsOnly


def run(lab: Any) -> Any:
    click(lab, "arithmetic_run")
    assert lab.wait(60)
    return lab._arithmetic._found


def test_nothing_changes_and_what_is_not_rounded_is_run_in_bytes(lab: Any) -> None:
    """The recipe stays; the words tell what was run, on which machine, and how alike the predictions are."""
    assert "run as with 8 bits" in lab.arithmetic_view["plan"] and lab.arithmetic_view["words"] == []
    before, history = lab.experiment.recipe, len(lab.experiment.history)
    found, recipe, _ = run(lab)
    assert recipe == E.Recipe(None, E.Quantization(8, 8)) and lab.experiment.recipe == before
    assert len(lab.experiment.history) == history and lab.error is None
    assert found.engine in (*engines(), "simulated") and found.agreement >= 0.97 and found.n == 200
    chart, words = lab._shown["charts"]["arithmetic"], " ".join(lab.arithmetic_view["words"])
    assert found.processor in chart["description"] and "1 thread" in chart["description"]
    assert len(chart["series"][1]["y0"]) == len(found.kinds) and "agree on" in words
    for kind in found.kinds:
        assert set(kind.latencies) == {1, 64} and all(each.median_ms > 0 for each in kind.latencies.values())
        for batch in (1, 64):
            ratio = found.kinds[0].latencies[batch].median_ms / kind.latencies[batch].median_ms
            assert found.ratio(kind.name, "float32", batch) == pytest.approx(ratio)
    sizes = {kind.name: kind.weight_bytes for kind in found.kinds}
    numbers = sum(p.numel() for p in lab.experiment.model.parameters())
    weights = 12 * 64 + 64 * 64 + 64 * 3
    assert sizes["float32"] == 4 * numbers and sizes["bfloat16"] == 2 * numbers
    assert sizes["weights_only"] == weights + 4 * (64 + 64 + 3) + 4 * (numbers - weights)


def test_it_is_of_the_recipe_and_says_when_another_is_shown(lab: Any) -> None:
    """Bits, pruned filters and symmetric=False: what cannot be done in integers is named."""
    from_front(lab, weight_bits=3, activation_bits=6, sparsity=0.4)
    assert lab.wait(60)
    found, recipe, _ = run(lab)
    assert recipe == lab.experiment.recipe and (found.bits, found.held) == (3, 4)
    assert "held in 4 there" in " ".join(lab.arithmetic_view["words"]) and "run as with" not in lab.arithmetic_view["plan"]
    from_front(lab, symmetric=False)
    assert lab.wait(60) and lab.arithmetic_view["words"][-1] == "Another state is shown by now."
    found, _, _ = run(lab)
    assert found.engine == "simulated" and [kind.name for kind in found.kinds] == ["float32", "bfloat16", "weights_only"]
    words = " ".join(lab.arithmetic_view["words"])
    assert "Simulated: no layer is done in integers here." in words and "zero point" in words


def test_row_41_without_integer_operators_it_says_simulated(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is told for integers that were not done."""
    monkeypatch.setattr(kernels, "_is_right", lambda engine: False)
    kernels.engines.cache_clear()
    try:
        found, _, _ = run(lab)
    finally:
        kernels.engines.cache_clear()
    assert found.engine == "simulated" and found.done == 0 and "integer" not in {kind.name for kind in found.kinds}
    assert "no integer operators on this machine" in " ".join(lab.arithmetic_view["words"])


def test_cancel_and_no_images(lab: Any) -> None:
    """Cancelled, nothing is shown; without S_train the card says what is missing."""
    click(lab, "arithmetic_run")
    click(lab, "cancel")
    assert lab.wait(60) and (lab.last_task["text"].startswith("cancelled") or lab._arithmetic._found is not None)
    bare = nw.CompressionLab(E.Experiment(dense(12, 24, 3), test=vectors(200, 2, 12, 0.6)))
    assert bare.wait(60) and "give train=" in bare.arithmetic_view["refused"]
    click(bare, "arithmetic_run")
    assert bare.wait(60) and bare.error is not None and "give train=" in repr(bare.error)
    bare.close()
    bare.experiment.close()


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("bits", [8, 5, 4, 3, 2, 1])
def test_held_codes_give_the_weight_bit_for_bit(bits: int, last: bool) -> None:
    """Packed as many to a byte as fit, with a rest; zeros of one bit need two."""
    most = max(1, 2 ** (bits - 1) - 1)
    codes = torch.randint(-most, most + 1, (5, 3, 3, 1), generator=torch.Generator().manual_seed(0), dtype=torch.int8)
    scale = torch.rand(5) + 0.1
    for zeros in (True, False):
        if bits == 1 and not zeros:
            codes[codes == 0] = 1
        held = Held(codes, scale, bits, last)
        assert held.bits == {8: 8, 5: 8, 4: 4, 3: 4, 2: 2, 1: 2 if zeros else 1}[bits]
        assert torch.equal(held.weight(), codes * scale.reshape(-1, 1, 1, 1))
        assert held.weight().is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        assert held.nbytes == -(-45 * held.bits // 8) + 20


def test_weights_alone_answer_as_the_network_and_are_gone_after_each_pass() -> None:
    """And the network that was copied keeps its own."""
    model = dense(12, 24, 3)
    codes = {name: (model[int(name)].weight.detach() / 0.01).round().to(torch.int8) for name in ("0", "2")}  # type: ignore[operator]
    with torch.no_grad():
        for name, each in codes.items():
            model[int(name)].weight.copy_(each * 0.01)  # type: ignore[operator]
        alone = WeightsOnly(model, {name: Held(each, torch.full((len(each),), 0.01), 8) for name, each in codes.items()})
        x = torch.randn(7, 12)
        assert torch.equal(alone(x), model(x)) and torch.equal(alone(x), model(x))
    assert alone.network.get_submodule("0")._parameters["weight"] is None and model[0].weight is not None


def test_a_codebook_has_no_integer_form(lab: Any) -> None:
    """Every layer is named with the reason, and no weights are said to be held in few bits."""
    from_front(lab, method="codebook", weight_bits=4)
    assert lab.wait(60)
    found, recipe, _ = run(lab)
    assert recipe == E.Recipe(None, E.Quantization(4, 8, method="codebook")) and lab.error is None
    assert found.engine == "simulated" and (found.bits, found.held) == (4, 32) and len(found.simulated) == 3
    words = " ".join(lab.arithmetic_view["words"])
    assert "Simulated: no layer is done in integers" in words and "No weights are held in few bits" in words
    assert not engines() or "places in a codebook" in words
