"""Recipes refuse bad values at birth, compare by content and survive JSON."""

from __future__ import annotations

import contextlib
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.recipe import Criterion, Pruning, Quantization, Recipe, Structure

FULL = Recipe(
    Pruning(0.25, allocation={"b": 0.5, "a": 0}, exclude=["z", "a", "z"], seed=3, masks={"a": np.eye(3)}),
    Quantization({"a": 4, "b": 32}, symmetric=False, granularity="tensor"),
)


def test_the_vocabulary_of_the_design_is_accepted() -> None:
    """Every documented value is a value, whether or not this version can apply it."""
    for structure in ("weight", "2:4", "kernel", "filter", "neuron", "head"):
        assert Pruning(0.5, structure=structure).structure == structure
    for criterion in Criterion:
        assert Pruning(0.5, criterion=criterion).criterion == criterion.value
    for allocation in ("global", "uniform", "erk", "sensitivity", {"fc": 0.1}):
        assert Pruning(0.5, allocation=allocation).allocation == allocation
    for bits in (*range(1, 9), 32):
        assert Quantization(bits).weight_bits == bits
    for method in ("affine", "codebook", "ternary", "binary"):
        assert Quantization(8, method=method).method == method
    assert type(Pruning(0.5, structure=Structure.FILTER).structure) is str


BAD_PRUNING = [
    {"amount": 1.0},
    {"amount": -0.1},
    {"amount": float("nan")},
    {"amount": True},
    {"amount": "0.5"},
    {"amount": 0.5, "structure": "filters"},
    {"amount": 0.5, "structure": "4:2"},
    {"amount": 0.5, "criterion": "size"},
    {"amount": 0.5, "allocation": "layer"},
    {"amount": 0.5, "allocation": {"a": 1.5}},
    {"amount": 0.5, "allocation": {1: 0.5}},
    {"amount": 0.5, "norm": 3},
    {"amount": 0.5, "exclude": "fc"},
    {"amount": 0.5, "exclude": (1,)},
    {"amount": 0.5, "seed": -1},
    {"amount": 0.5, "seed": 0.5},
    {"amount": 0.5, "masks": [1]},
    {"amount": 0.5, "masks": {"a": [0.5, 1]}},
]


@pytest.mark.parametrize("settings", BAD_PRUNING, ids=str)
def test_a_bad_pruning_is_refused(settings: dict[str, object]) -> None:
    """Wrong types, NaN, and values out of range."""
    with pytest.raises(RecipeError):
        Pruning(**settings)  # type: ignore[arg-type]


BAD_QUANTIZATION = [
    {"weight_bits": 0},
    {"weight_bits": 9},
    {"weight_bits": 16},
    {"weight_bits": 8.0},
    {"weight_bits": True},
    {"weight_bits": {"a": 33}},
    {"activation_bits": 1},
    {"granularity": "row"},
    {"symmetric": 1},
    {"percentile": 40},
    {"percentile": float("inf")},
    {"observer": "max"},
    {"rounding": "up"},
]


@pytest.mark.parametrize("settings", BAD_QUANTIZATION, ids=str)
def test_a_bad_quantization_is_refused(settings: dict[str, object]) -> None:
    """Wrong types and values out of range."""
    with pytest.raises(RecipeError):
        Quantization(**settings)  # type: ignore[arg-type]


def test_a_misspelt_choice_is_answered_with_the_nearest() -> None:
    """The message says what was meant."""
    with pytest.raises(RecipeError, match="did you mean 'magnitude'"):
        Pruning(0.5, criterion="magnitud")


def test_recipes_are_equal_and_hash_by_content() -> None:
    """The order of names does not matter, any setting does."""
    again = Recipe(
        Pruning(0.25, allocation={"a": 0, "b": 0.5}, exclude=("a", "z"), seed=3, masks={"a": torch.eye(3)}),
        Quantization({"b": 32, "a": 4}, symmetric=False, granularity="tensor"),
    )
    assert again == FULL and hash(again) == hash(FULL)
    assert Recipe(Pruning(0.25)) != Recipe(Pruning(0.26)) != Recipe()
    assert pickle.loads(pickle.dumps(FULL)) == FULL


def test_a_recipe_cannot_be_changed() -> None:
    """Neither its fields nor its mappings."""
    assert FULL.pruning is not None
    with pytest.raises(AttributeError):
        FULL.pruning.amount = 0.9  # type: ignore[misc]
    with pytest.raises(TypeError):
        FULL.pruning.allocation["a"] = 0.9  # type: ignore[index]


def test_what_was_given_may_change_afterwards() -> None:
    """A recipe keeps its own copy."""
    amounts = {"a": 0.1}
    pruning = Pruning(0.5, allocation=amounts)
    amounts["a"] = 0.9
    assert pruning.allocation == {"a": 0.1}


def test_is_dense() -> None:
    """True where nothing changes, whatever is written."""
    assert Recipe().is_dense and Recipe(Pruning(0), Quantization()).is_dense and Recipe(Pruning(0.5, masks={})).is_dense
    assert Recipe(None, Quantization({"a": 32})).is_dense
    assert not Recipe(Pruning(0, allocation={"a": 0.1})).is_dense and not Recipe(None, Quantization({"a": 8})).is_dense
    assert not Recipe(Pruning(0, masks={"a": [0, 1]})).is_dense


@given(
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["global", "uniform", {"a": 0.5, "β<img>": 0.0}]),
    st.one_of(st.integers(1, 8), st.dictionaries(st.text(), st.integers(1, 8), max_size=3)),
    st.booleans(),
)
def test_json_gives_the_same_recipe(amount: float, allocation: object, bits: object, symmetric: bool) -> None:
    """To the last bit of each number."""
    recipe = Recipe(Pruning(amount, allocation=allocation), Quantization(bits, symmetric=symmetric))  # type: ignore[arg-type]
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_json_keeps_masks() -> None:
    """Masks come back as they were."""
    back = Recipe.from_json(FULL.to_json())
    assert back == FULL and back.pruning is not None and back.pruning.masks is not None
    assert np.array_equal(back.pruning.masks["a"].to_array(), np.eye(3, dtype=bool))
    assert json.loads(FULL.to_json())["format"] == "nnwidgets.recipe" and json.loads(FULL.to_json())["version"] == 1


DAMAGE = [
    ("version", 2, "newer"),
    ("version", "1", "version"),
    ("format", "other", "not a recipe"),
    ("extra", 1, "unknown key 'extra'"),
    ("pruning", {"amount": 0.5, "structur": "weight"}, "did you mean 'structure'"),
    ("pruning", {}, "amount"),
    ("pruning", [1], "object"),
    ("pruning", {"amount": 0.5, "masks": 3}, "masks"),
    ("pruning", {"amount": 0.5, "masks": {"a": {"shape": [1e3], "bits": ""}}}, "shape"),
    ("pruning", {"amount": 0.5, "masks": {"a": {"shape": [8], "bits": "§"}}}, "base64"),
    ("pruning", {"amount": 0.5, "masks": {"a": {"shape": [9999999, 9999999], "bits": ""}}}, "larger"),
    ("quantization", {"weight_bits": None}, "weight_bits"),
]


@pytest.mark.parametrize(("key", "value", "words"), DAMAGE, ids=lambda x: str(x)[:30])
def test_a_malformed_text_is_refused(key: str, value: object, words: str) -> None:
    """With a sentence about what is wrong in it."""
    data = json.loads(Recipe().to_json())
    data[key] = value
    with pytest.raises(RecipeError, match=words):
        Recipe.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": NaN}', "[" * 100_000, b"{}", None])
def test_what_is_no_recipe_is_refused(text: object) -> None:
    """Any text, and what is not text."""
    with pytest.raises(RecipeError):
        Recipe.from_json(text)  # type: ignore[arg-type]


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_any_json_in_a_part_gives_a_recipe_or_a_recipe_error(part: object) -> None:
    """Nothing else is raised on hostile content."""
    text = json.dumps({"format": "nnwidgets.recipe", "version": 1, "pruning": part, "quantization": part})
    with contextlib.suppress(RecipeError):
        assert isinstance(Recipe.from_json(text), Recipe)


def test_parts_of_the_wrong_kind_are_refused() -> None:
    """A number is no pruning."""
    with pytest.raises(RecipeError, match="Pruning"):
        Recipe(0.5)  # type: ignore[arg-type]
    assert isinstance(Mask.from_array([1, 0]), Mask)
