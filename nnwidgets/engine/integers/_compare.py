"""One network in four kinds of arithmetic, timed in turns: float32, bfloat16, weights alone in few bits, integers."""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.compression.knowledge import knowledge_for
from nnwidgets.engine.compression.weight_codes import codes_of_weights, with_norm
from nnwidgets.engine.costs import latency_of, latency_runs
from nnwidgets.engine.costs.machine import integer_units, processor
from nnwidgets.engine.errors import InputError
from nnwidgets.engine.evaluation import Frozen, Prepared, passes
from nnwidgets.engine.integers._network import IntegerNetwork, chosen_engine, integer_by
from nnwidgets.engine.integers.held import Held, WeightsOnly
from nnwidgets.engine.integers.kernels import Engine
from nnwidgets.engine.quantization import round_inputs
from nnwidgets.engine.trace import Trace, preserved_rng, unvisited_copy
from nnwidgets.engine.values.frozen import FrozenDict
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.records import Latency
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

__all__ = ["Arithmetic", "Arithmetics", "arithmetics_steps", "time_arithmetic"]

_RUNS, _FEW_RUNS, _SECONDS = 40, 12, 4.0  # passes of a kind with one image, with many; seconds of all kinds
_MACS = 4e9  # of a batch: some 100 ms in float32 on one core
_BATCH, _IMAGES = 64, 1000


@dataclass(frozen=True)
class Arithmetic:
    """One kind of arithmetic.

    Attributes:
        name: "float32", "bfloat16", "weights_only" or "integer". label: in words.
        latencies: batch -> `Latency`. weight_bytes: what its weights take in memory while it runs.
    """

    name: str
    label: str
    latencies: Mapping[int, Latency]
    weight_bytes: int


@dataclass(frozen=True)
class Arithmetics:
    """All kinds, on one machine.

    Attributes:
        kinds: that could run. engine: of the integers, "simulated" where none was done: then there is no such kind.
        done: how many layers are done in integers. simulated: layer -> why it is not.
        agreement: share of images on which integer and simulated predictions are the same; n: how many were looked at.
        bits, held: of a weight, and what it takes in memory where it is made into float32 at each pass (the most of a layer; 32
            where no layer has codes to make it from).
        processor, instructions, threads: of this machine.
    """

    kinds: tuple[Arithmetic, ...]
    engine: str
    done: int
    simulated: Mapping[str, str]
    agreement: float
    n: int
    bits: int
    held: int
    processor: str = field(default_factory=processor)
    instructions: str = field(default_factory=lambda: _instructions())
    threads: int = field(default_factory=torch.get_num_threads)

    def ratio(self, name: str, to: str, batch: int) -> float | None:
        """How many times as quick one kind is as another; None where one of them did not run."""
        found = {kind.name: kind.latencies[batch].median_ms for kind in self.kinds}
        return found[to] / found[name] if name in found and to in found else None


def _instructions() -> str:
    """The set that torch's kernels are built for, and what the processor has for integers."""
    units = [unit for unit in integer_units() if "vnni" in unit or "int8" in unit]
    return ", ".join([str(torch.backends.cpu.get_cpu_capability()), *units])


class _LaidOut(nn.Module):
    """A quick copy that takes images as they come."""

    def __init__(self, prepared: Prepared, network: nn.Module) -> None:
        super().__init__()
        self.network, self._prepared = network, prepared

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.network(self._prepared.inputs(images))
        return answer


def time_arithmetic(
    model: nn.Module, recipe: Recipe, calibration: Split, split: Split | None = None, *, engine: str | None = None
) -> Arithmetics:
    """Time a network in float32, bfloat16, with weights alone in few bits, and in integers, in turns, on this machine.

    All have the same weights, pruned and rounded alike, and batch-norm folded into convolutions. One image at a time, and as many
    at once as take some 100 ms, at most 64.

    Args:
        model, recipe, calibration, engine: as of `integer`. split: images on which integer and simulated predictions are
            compared, at most 1,000; those of ``calibration`` if not given.

    Raises:
        what `integer` raises.
    """
    if not isinstance(calibration, Split):
        raise InputError(f"calibration is {type(calibration).__name__}; expected a Split(images), such as experiment.train.")
    shape = calibration.sample_shape
    decision = decision_for(model, recipe, shape, knowledge_for(model, recipe, calibration, None, None))
    with preserved_rng():
        found = decision.decider.knowledge.traced(shape)
        return result_of(arithmetics_steps(decision, found, calibration if split is None else split, chosen_engine(engine)))


def arithmetics_steps(
    decision: Decision, found: Trace, split: Split, engine: Engine | None
) -> Generator[float, None, Arithmetics]:
    """Make and time all kinds of a decision about a network; yields the share that is done.

    All have the same weights, pruned and rounded alike, and batch-norm folded into convolutions. They take turns, pass by pass.

    Args:
        found: the trace of the network. engine: None simulates. split: images on which predictions are compared, at most 1,000.

    Raises:
        RecipeError: weights or activations have no bits to do it with.
    """
    shape = found.input_shape
    whole = integer_by(decision, shape, engine)
    yield 0.05
    with torch.inference_mode(False), torch.no_grad():
        floats = unvisited_copy(whole.network)
        round_inputs(floats, {})
        prepared = Prepared(floats, shape, split.inputs(slice(0, 8)))
        yield 0.1
        held = _held(decision, floats, prepared)
        alone = WeightsOnly(prepared.network, held)
        networks: dict[str, nn.Module] = {
            "float32": _LaidOut(prepared, prepared.network),
            "bfloat16": _LaidOut(prepared, copy.deepcopy(prepared.network).bfloat16()),
            "weights_only": _LaidOut(prepared, alone),
        }
        if whole.engine != "simulated":
            networks["integer"] = whole
    yield 0.15
    batches = sorted({1, max(1, min(_BATCH, int(_MACS / max(found.macs, 1))))})
    times: dict[tuple[str, int], list[float]] = {(name, batch): [] for batch in batches for name in networks}
    at = {batch: 0.15 + 0.6 * i / len(batches) for i, batch in enumerate(batches)}
    for batch in batches:
        many = _RUNS if batch == 1 else _FEW_RUNS
        runs = {name: latency_runs(network, shape, batch, many) for name, network in networks.items()}
        spent = 0.0
        for turn, together in enumerate(zip(*runs.values(), strict=True)):
            for name, milliseconds in zip(runs, together, strict=True):
                times[name, batch].append(milliseconds)
            spent += sum(together) / 1000
            yield at[batch] + 0.6 * (turn + 1) / many / len(batches)
            if turn >= 4 and spent > _SECONDS:
                break
    agree, n = yield from _agreement(whole, split)
    sizes = {name: sum(p.nbytes for p in network.parameters()) for name, network in networks.items()}
    sizes["weights_only"] = alone.nbytes
    if "integer" in networks:
        sizes["integer"] = whole.weight_bytes
    settings = decision.recipe.quantization
    bits = max((decision.decider.bits(settings, name) for name in decision.decider.layers), default=32)
    in_memory = max((own.bits for own in held.values()), default=32)
    labels = {
        "float32": "float32",
        "bfloat16": "bfloat16",
        "weights_only": "float32: no weights have codes and a step"
        if in_memory == 32
        else f"weights of {bits} bit, made float32 at each pass",
        "integer": f"integers ({whole.engine})",
    }
    kinds = tuple(
        Arithmetic(name, labels[name], {batch: latency_of(times[name, batch], batch) for batch in batches}, int(sizes[name]))
        for name in networks
    )
    return Arithmetics(kinds, whole.engine, len(whole.done), FrozenDict(whole.simulated), agree, n, bits, in_memory)


def _agreement(whole: IntegerNetwork, split: Split) -> Generator[float, None, tuple[float, int]]:
    """Share of images with the same prediction by the integer network and by the one it stands for."""
    few = split.take(torch.arange(min(len(split), _IMAGES)))
    first = []
    for positions, logits in passes(Frozen(whole), few):
        first.append((positions, logits.argmax(1)))
        yield 0.75 + 0.1 * len(torch.cat([each for each, _ in first])) / len(few)
    same = torch.zeros(len(few), dtype=torch.bool)
    classes = torch.zeros(len(few), dtype=torch.int64)
    for positions, found in first:
        classes[positions] = found
    seen = 0
    for positions, logits in passes(Frozen(whole.network), few):
        same[positions] = logits.argmax(1) == classes[positions]
        seen += len(positions)
        yield 0.85 + 0.15 * seen / len(few)
    return float(same.double().mean()), len(few)


def _held(decision: Decision, floats: nn.Module, prepared: Prepared) -> dict[str, Held]:
    """Codes of the convolutions and linear layers, with batch-norm in their scale where the quick copy has folded it."""
    found = {}
    for name, (codes, scale) in codes_of_weights(floats, decision)[0].items():
        module = decision.decider.layers[name].module_name
        if not isinstance(floats.get_submodule(module), nn.Conv2d | nn.Linear):
            continue
        before, after = (each.get_submodule(module).get_parameter("weight").detach() for each in (floats, prepared.network))
        last = after.dim() == 4 and after.is_contiguous(memory_format=torch.channels_last)
        found[module] = Held(
            codes, with_norm(scale, before, after), decision.decider.bits(decision.recipe.quantization, name), last
        )
    return found
