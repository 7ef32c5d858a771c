"""What is to be done to a network: a frozen, versioned description, independent of any network until it is applied."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.values._fields import choice, flag, layer_map, names_of, nearest, real, share, steps, whole
from nnwidgets.engine.values.frozen import FrozenDict
from nnwidgets.engine.values.mask import Mask

__all__ = [
    "Allocation",
    "Criterion",
    "Granularity",
    "Method",
    "Observer",
    "Pruning",
    "Quantization",
    "Recipe",
    "Rounding",
    "Structure",
]

_FORMAT, _VERSION = "nnwidgets.recipe", 1
_N_OF_M = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})")
_FOUND_FOR = ("weight_bits", "granularity", "method", "symmetric", "observer", "power_of_two")  # what learned scales depend on


class Structure(str, Enum):
    """What is removed as a whole. Besides these, "n:m" keeps n of each m neighbours along the input, e.g. "2:4"."""

    WEIGHT = "weight"
    KERNEL = "kernel"
    FILTER = "filter"
    NEURON = "neuron"
    HEAD = "head"


class Criterion(str, Enum):
    """By what importance is judged."""

    MAGNITUDE = "magnitude"
    RANDOM = "random"
    TAYLOR = "taylor"
    OBD = "obd"
    OBD_HUTCHINSON = "obd_hutchinson"
    OBS = "obs"
    ACTIVATION = "activation"
    APOZ = "apoz"
    WANDA = "wanda"
    BN_SCALE = "bn_scale"
    SNIP = "snip"
    GRASP = "grasp"
    MOVEMENT = "movement"


class Allocation(str, Enum):
    """How the amount is shared among the layers; a mapping {layer: amount} sets it by hand.

    "global" is one ranking of all scores; "normalized" is one too, of scores divided by the root mean square of their layer.
    """

    GLOBAL = "global"
    NORMALIZED = "normalized"
    UNIFORM = "uniform"
    ERK = "erk"
    SENSITIVITY = "sensitivity"


class Method(str, Enum):
    """How weights become codes of few bits.

    "affine" has levels at even steps. "codebook" has one list of 2^bits float32 values a layer, by k-means of its weights that
    are not zero; one value is zero where weights are (Han et al. 2016). "ternary" and "binary" have one size of weights.
    """

    AFFINE = "affine"
    CODEBOOK = "codebook"
    TERNARY = "ternary"
    BINARY = "binary"


class Granularity(str, Enum):
    """What shares one scale."""

    TENSOR = "tensor"
    CHANNEL = "channel"


class Observer(str, Enum):
    """How the range of values is chosen."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    MSE = "mse"
    KL = "kl"
    HAND = "hand"
    LEARNED = "learned"


class Rounding(str, Enum):
    """How values are put on the grid."""

    NEAREST = "nearest"
    STOCHASTIC = "stochastic"
    ADAPTIVE = "adaptive"


@dataclass(frozen=True)
class Pruning:
    """What is removed.

    Attributes:
        amount: share in [0, 1) of what ``structure`` names; round(amount * N) of them go.
        structure: see `Structure`. criterion: see `Criterion`.
        allocation: see `Allocation`, or {layer: share}; layers not named get ``amount``.
        norm: 1 or 2, of the weights in a filter; nothing for single weights.
        exclude: layers that are left whole, by name. seed: of the random criterion, from 0.
        masks: {layer: Mask}: keep exactly these weights; layers not named stay whole and ``amount`` is only a label. Arrays and
            tensors of 0 and 1 are turned into masks.

    Raises:
        RecipeError: a value of the wrong type or out of range.
    """

    amount: float
    structure: str = "weight"
    criterion: str = "magnitude"
    allocation: str | Mapping[str, float] = "global"
    norm: int = 1
    exclude: tuple[str, ...] = ()
    seed: int = 0
    masks: Mapping[str, Mask] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "amount", share("amount", self.amount))
        put(self, "structure", _structure(self.structure))
        put(self, "criterion", choice("criterion", self.criterion, Criterion))
        if isinstance(self.allocation, Mapping):
            amounts = layer_map("allocation", self.allocation)
            put(self, "allocation", FrozenDict({name: share(f"allocation[{name!r}]", amounts[name]) for name in amounts}))
        else:
            put(self, "allocation", choice("allocation", self.allocation, Allocation))
        put(self, "norm", whole("norm", self.norm, (1, 2)))
        put(self, "exclude", names_of("exclude", self.exclude))
        if whole("seed", self.seed) < 0:
            raise RecipeError(f"seed is {self.seed}; expected a whole number from 0.")
        put(self, "seed", int(self.seed))
        if self.masks is not None:
            put(self, "masks", _masks(self.masks))

    @property
    def removes_nothing(self) -> bool:
        """True where no weight is removed, whatever the network."""
        if self.masks is not None:
            return not self.masks
        amounts = self.allocation.values() if isinstance(self.allocation, Mapping) else ()
        return self.amount == 0 and all(amount == 0 for amount in amounts)


@dataclass(frozen=True)
class Quantization:
    """How many bits are kept.

    Attributes:
        weight_bits: 1 to 8, 32 (as stored), or {layer: bits}; layers not named keep 32.
        activation_bits: 2 to 8, or 32. method: see `Method`; to "codebook" granularity, symmetric, observer, percentile and
            range_share do not matter, and power_of_two does not go with it. granularity: see `Granularity`.
        symmetric: levels of weights lie symmetrically about zero and no zero point is stored.
        observer: how the range of weights is chosen, see `Observer`. "learned": training finds the steps between levels (LSQ,
            Esser et al. 2020), which have to be even, symmetric and of any size.
        activation_symmetric, activation_observer: the same of activations, but for "hand" and "learned".
        percentile: in (50, 100], for that observer.
        range_share: in (0, 1], of the range of all weights, by the observer "hand".
        calibration_images: how many images the ranges of activations are from, at most (fewer where a network is large).
        power_of_two: scales of weights are, so that a product with one is a shift (fixed point).
        rounding: see `Rounding`. equalize: scale channels across layers first. bias_correction: shift biases by the mean error.
        scales: {layer: steps} that training found, for the observer "learned": one, or one a channel, kept as float32. Layers not
            named begin at the start of LSQ. Numbers, sequences, arrays and tensors are turned into tuples.

    Raises:
        RecipeError: a value of the wrong type or out of range.
    """

    weight_bits: int | Mapping[str, int] = 32
    activation_bits: int = 32
    method: str = "affine"
    granularity: str = "channel"
    symmetric: bool = True
    observer: str = "minmax"
    activation_symmetric: bool = False
    activation_observer: str = "minmax"
    percentile: float = 99.9
    rounding: str = "nearest"
    equalize: bool = False
    bias_correction: bool = False
    power_of_two: bool = False
    calibration_images: int = 256
    range_share: float = 1.0
    scales: Mapping[str, Sequence[float]] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        allowed = (*range(1, 9), 32)
        if isinstance(self.weight_bits, Mapping):
            bits = layer_map("weight_bits", self.weight_bits)
            put(self, "weight_bits", FrozenDict({name: whole(f"weight_bits[{name!r}]", bits[name], allowed) for name in bits}))
        else:
            put(self, "weight_bits", whole("weight_bits", self.weight_bits, allowed))
        put(self, "activation_bits", whole("activation_bits", self.activation_bits, (*range(2, 9), 32)))
        for name, choices in (("method", Method), ("granularity", Granularity), ("rounding", Rounding)):
            put(self, name, choice(name, getattr(self, name), choices))
        for name in ("observer", "activation_observer"):
            put(self, name, choice(name, getattr(self, name), Observer))
        for name in ("symmetric", "activation_symmetric", "equalize", "bias_correction", "power_of_two"):
            flag(name, getattr(self, name))
        put(self, "range_share", real("range_share", self.range_share))
        if not 0 < self.range_share <= 1:
            raise RecipeError(f"range_share is {self.range_share}; expected a share above 0 and up to 1, e.g. 0.8.")
        if self.activation_observer in (Observer.HAND.value, Observer.LEARNED.value):
            raise RecipeError(
                f"activation_observer is {self.activation_observer!r}; that is for weights. Use 'minmax', 'percentile', 'mse' or "
                "'kl'."
            )
        if whole("calibration_images", self.calibration_images) < 1:
            raise RecipeError(f"calibration_images is {self.calibration_images}; expected a whole number from 1, e.g. 256.")
        put(self, "calibration_images", int(self.calibration_images))
        put(self, "percentile", real("percentile", self.percentile))
        if not 50 < self.percentile <= 100:
            raise RecipeError(f"percentile is {self.percentile}; expected a number above 50 and up to 100, e.g. 99.9.")
        if self.scales is not None:
            put(self, "scales", _scales(self.scales))

    def moved(self, **settings: Any) -> Quantization:
        """Return it with other settings. Learned scales are kept only while all that they were found for stays.

        That is: bits, granularity, method, symmetric, observer and power_of_two.
        """
        made = replace(self, **settings)
        same = all(getattr(made, name) == getattr(self, name) for name in _FOUND_FOR)
        return made if same or "scales" in settings else replace(made, scales=None)

    def bits_of(self, layer: str) -> int:
        """Return the bits of a layer's weights, 32 for "as stored"."""
        return self.weight_bits.get(layer, 32) if isinstance(self.weight_bits, Mapping) else self.weight_bits

    @property
    def rounds_weights(self) -> bool:
        """True where some weights have fewer than 32 bits."""
        bits = self.weight_bits.values() if isinstance(self.weight_bits, Mapping) else (self.weight_bits,)
        return any(each != 32 for each in bits)

    @property
    def changes_nothing(self) -> bool:
        """True where weights and activations stay as they are."""
        return self.activation_bits == 32 and not self.equalize and not self.bias_correction and not self.rounds_weights

    def of_weights(self) -> Quantization:
        """Return it with activations as they are: settings that differ in those alone are equal then."""
        own = Quantization()
        return replace(
            self,
            activation_bits=own.activation_bits,
            activation_symmetric=own.activation_symmetric,
            activation_observer=own.activation_observer,
        )

    def on_prepared(self) -> Quantization:
        """Return it for a network whose channels are equalized, and whose biases are corrected, where it asks for that."""
        asks = self.equalize or self.bias_correction
        return replace(self, equalize=False, bias_correction=False) if asks else self


@dataclass(frozen=True)
class Recipe:
    """A compression: pruning first, then quantization. `Recipe()` leaves a network as it is. Hashable; equal by content."""

    pruning: Pruning | None = None
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        for name, kind in (("pruning", Pruning), ("quantization", Quantization)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise RecipeError(f"{name} is {value!r:.80}; expected {kind.__name__}(...) or None.")

    @property
    def is_dense(self) -> bool:
        """True where nothing is removed and no bits are dropped."""
        pruned = self.pruning is not None and not self.pruning.removes_nothing
        return not pruned and (self.quantization is None or self.quantization.changes_nothing)

    def to_json(self) -> str:
        """Return a text that `from_json` reads, with every setting written out."""
        parts = {name: None if part is None else _plain(part) for name, part in vars(self).items()}
        return json.dumps({"format": _FORMAT, "version": _VERSION, **parts})

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe.

        Raises:
            RecipeError: the text is malformed, of a newer version, or has keys that are unknown.
        """
        data = _parse(text)
        _known_keys("a recipe", data, ("format", "version", "pruning", "quantization"))
        pruning, quantization = data.get("pruning"), data.get("quantization")
        return cls(
            None if pruning is None else _pruning_from(pruning),
            None if quantization is None else Quantization(**_settings("quantization", quantization, Quantization)),
        )


def _structure(value: object) -> str:
    match = _N_OF_M.fullmatch(value) if isinstance(value, str) and not isinstance(value, Enum) else None
    if match is None:
        try:
            return choice("structure", value, Structure)
        except RecipeError as error:
            raise RecipeError(f'{error} "n:m" such as "2:4" is a structure too.') from None
    if int(match[1]) >= int(match[2]):
        raise RecipeError(f"structure is {value!r}; expected n:m with n below m, e.g. '2:4' keeps 2 of each 4.")
    return str(value)


def _masks(value: object) -> FrozenDict[Mask]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"masks is {type(value).__name__}; expected {{layer: Mask}}.")
    given: dict[str, Any] = layer_map("masks", value)
    return FrozenDict({name: mask if isinstance(mask, Mask) else Mask.from_array(mask) for name, mask in given.items()})


def _scales(value: object) -> FrozenDict[tuple[float, ...]]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"scales is {type(value).__name__}; expected {{layer: steps}}, e.g. {{'conv1': [0.02, 0.05]}}.")
    return FrozenDict({name: steps(f"scales[{name!r}]", given) for name, given in layer_map("scales", value).items()})


def _plain(part: Pruning | Quantization) -> dict[str, object]:
    found: dict[str, object] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, Mapping):
            value = {key: item.to_json() if isinstance(item, Mask) else item for key, item in value.items()}
        found[field.name] = value
    return found


def _parse(text: object) -> dict[str, Any]:
    if not isinstance(text, str):
        raise RecipeError(f"Recipe.from_json got {type(text).__name__}; expected the text that recipe.to_json() gave.")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"This is not a recipe: the text is not JSON ({error!s:.120}). Copy all of it.") from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise RecipeError(f'This is not a recipe: "format" is not "{_FORMAT}". Give the text that recipe.to_json() gave.')
    version = data.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise RecipeError(f"The recipe's version is {version!r:.40}; expected a whole number from 1.")
    if version > _VERSION:
        raise RecipeError(f"The recipe has version {version}, this nnwidgets reads up to {_VERSION}. Install a newer nnwidgets.")
    return data


def _settings(part: str, data: object, kind: type[Any]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise RecipeError(f'"{part}" of a recipe is {data!r:.80}; expected an object of settings, or null.')
    _known_keys(part, data, [field.name for field in fields(kind)])
    return data


def _known_keys(what: str, data: Mapping[str, object], known: list[str] | tuple[str, ...]) -> None:
    for key in data:
        if key not in known:
            raise RecipeError(f"{what} has the unknown key {key!r:.60}; {nearest(key, known)}")


def _pruning_from(data: object) -> Pruning:
    settings = dict(_settings("pruning", data, Pruning))
    if "amount" not in settings:
        raise RecipeError('"pruning" of a recipe has no "amount"; expected a share from 0 to below 1.')
    masks = settings.get("masks")
    if masks is not None:
        if not isinstance(masks, dict):
            raise RecipeError('"masks" of a recipe is not an object of layer names.')
        settings["masks"] = {name: Mask.from_json(mask) for name, mask in masks.items()}
    return Pruning(**settings)
