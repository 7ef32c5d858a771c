"""The table of magnitudes chooses exactly what a full sort would."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle_plan import smallest
from torch import Tensor

from nnwidgets.engine.errors import ModelError, RecipeError
from nnwidgets.engine.pruning import MagnitudeTable, table


def check(weights: dict[str, Tensor], share: float) -> None:
    """Masks and counts of the table against the sort, all layers together and each alone."""
    made = MagnitudeTable(weights)
    found, expected = made.select(share), smallest(weights, share)
    alone = made.select(dict.fromkeys(weights, share))
    for i, (name, weight) in enumerate(weights.items()):
        assert torch.equal(found.keep(name, weight), expected[name])
        assert found.removed[i] == int((~expected[name]).sum())
        assert torch.equal(alone.keep(name, weight), smallest({name: weight}, share)[name])


def nets(seed: int) -> dict[str, dict[str, Tensor]]:
    """Kinds of weights: ordinary, full of ties, with zeros, of very different scale, tiny, and in other formats."""
    g = torch.Generator().manual_seed(seed)
    normal = {n: torch.randn(s, generator=g) for n, s in (("a", (20, 1, 5, 5)), ("b", (50, 20, 5, 5)), ("c", (10, 500)))}
    return {
        "normal": normal,
        "ties": {n: (w * 4).round() / 4 for n, w in normal.items()},
        "zeros": {n: torch.where(w.abs() < 1, 0.0, w) for n, w in normal.items()},
        "all equal": {n: torch.sign(w) for n, w in normal.items()},
        "all zero": {n: torch.zeros_like(w) for n, w in normal.items()},
        "scales": {n: w * 10.0 ** (4 * i - 12) for i, (n, w) in enumerate(normal.items())},
        "squares": {n: (w * 1e-4) ** 4 for n, w in normal.items()},
        "mostly tiny": {n: torch.where(w.abs() > 3, w * 1e9, w * 10.0 ** (-5 * i)) for i, (n, w) in enumerate(normal.items())},
        "denormal": {n: w * 1e-41 for n, w in normal.items()},
        "half": {n: w.half() for n, w in normal.items()},
        "double": {n: w.double() for n, w in normal.items()},
        "channels last": {
            n: w.contiguous(memory_format=torch.channels_last) if w.dim() == 4 else w.t() for n, w in normal.items()
        },
    }


@pytest.mark.parametrize("kind", nets(0))
@pytest.mark.parametrize("share", [0.0, 1e-5, 0.1, 0.5, 0.682, 0.9, 0.999, 0.99999])
def test_masks_equal_those_of_a_full_stable_sort(kind: str, share: float) -> None:
    """Bit for bit, with ties in the order of layers and of weights."""
    check(nets(1)[kind], share)


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.0000001, 0.5, 3e38, 1e-45, 1e-38]), min_size=1), min_size=1, max_size=4
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_masks_equal_the_sort_on_awkward_numbers(values: list[list[float]], share: float) -> None:
    """Signed zeros, neighbours in the last place, the largest and the smallest floats."""
    check({str(i): torch.tensor(v) for i, v in enumerate(values)}, share)


@pytest.mark.parametrize("kind", nets(0))
def test_a_bin_of_millions_is_searched_to_the_same_end(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halving instead of parting, which needs no look at each number."""
    monkeypatch.setattr(table, "_FEW", 0)
    for share in (1e-5, 0.1, 0.5, 0.682, 0.9, 0.99999):
        check(nets(1)[kind], share)


def test_excluded_layers_neither_lose_nor_count() -> None:
    """The share is that of the others."""
    weights = nets(2)["normal"]
    found = MagnitudeTable(weights).select(0.5, exclude=["b"])
    expected = smallest({n: w for n, w in weights.items() if n != "b"}, 0.5)
    assert found.keep("b", weights["b"]).all()
    assert all(torch.equal(found.keep(n, weights[n]), expected[n]) for n in expected)


def test_a_share_for_some_layers_leaves_the_others_whole() -> None:
    """And one of zero removes nothing."""
    weights = nets(3)["normal"]
    found = MagnitudeTable(weights).select({"a": 0.25, "c": 0.0})
    assert found.removed.tolist() == [125, 0, 0] and found.keep("b", weights["b"]).all()


def test_zeros_are_counted() -> None:
    """Exactly, both signs."""
    table = MagnitudeTable({"a": torch.tensor([0.0, -0.0, 1e-45, 2.0])})
    assert table.zeros("a") == 2 and table.select(0.5).thresholds[0] == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    """By the name of their layer."""
    with pytest.raises(ModelError, match="'b'"):
        MagnitudeTable({"a": torch.ones(3), "b": torch.tensor([1.0, bad])})


def test_unknown_layers_are_refused() -> None:
    """In an exclusion and in a mapping."""
    table = MagnitudeTable({"a": torch.ones(3)})
    for arguments in ((0.5, ["x"]), ({"x": 0.5},)):
        with pytest.raises(RecipeError, match="'x'"):
            table.select(*arguments)  # type: ignore[arg-type]


@pytest.mark.slow
def test_many_weights_equal_np_partition() -> None:
    """The narrower bins of large networks: the threshold is the k-th smallest magnitude, k of 5 million."""
    generator = torch.Generator().manual_seed(0)
    weights = {str(i): torch.randn(1_250_000, generator=generator) * 0.02 * (i + 1) for i in range(4)}
    table = MagnitudeTable(weights)
    together = np.concatenate([w.abs().numpy() for w in weights.values()])
    for share in (0.001, 0.37, 0.9, 0.9999):
        count = round(share * len(together))
        found = table.select(share)
        value = np.partition(together, count - 1)[count - 1]
        assert found.removed.sum() == count and found.thresholds.max() == value
