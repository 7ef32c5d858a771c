"""A compressed network that runs with integer arithmetic, and says where it does not."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression._materialize import materialized_by
from nnwidgets.engine.compression.decided import decision_for
from nnwidgets.engine.compression.decision import Decision
from nnwidgets.engine.compression.knowledge import knowledge_for
from nnwidgets.engine.compression.same_answers import steps_apart
from nnwidgets.engine.compression.weight_codes import codes_of_weights
from nnwidgets.engine.errors import InputError, RecipeError, UnsupportedError
from nnwidgets.engine.integers.graph import Codes, Compiled, compiled
from nnwidgets.engine.integers.kernels import Engine, engines
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.quantization import InputGrid, rounded_inputs
from nnwidgets.engine.trace import portable_graph, preserved_rng
from nnwidgets.engine.trace.suffix import UnfitError
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split

__all__ = ["IntegerNetwork", "chosen_engine", "integer", "integer_by"]

_PROBE = 4  # images that the answers of both are compared on


class IntegerNetwork(nn.Module):
    """A network whose convolutions and linear layers multiply 8-bit integers. In eval mode, on the CPU.

    Attributes:
        engine: "onednn" or "int_mm", the operators that do it; "simulated" where no layer could be done.
        done: names of the layers that are done in integers. simulated: layer -> why it is not: it rounds and computes in float32.
    """

    def __init__(self, network: nn.Module, graph: Compiled | None, engine: Engine | None, simulated: Mapping[str, str]) -> None:
        super().__init__()
        self.network = network
        self._graph = graph
        self.engine: str = "simulated" if graph is None or engine is None or not graph.done else engine
        self.done = () if graph is None else tuple(graph.done)
        self.simulated = dict(simulated)
        self.eval()

    @property
    def weight_bytes(self) -> int:
        """What its weights take in memory: codes, scales and biases of layers in integers, all numbers of the others."""
        if self._graph is None or self.engine == "simulated":
            return sum(parameter.nbytes for parameter in self.network.parameters())
        return self._graph.weight_bytes

    def __deepcopy__(self, memo: dict[int, object]) -> IntegerNetwork:
        twin = IntegerNetwork(copy.deepcopy(self.network, memo), None, None, self.simulated)
        twin._graph, twin.engine, twin.done = self._graph, self.engine, self.done  # its numbers never change
        return twin.train(self.training)

    def forward(self, images: Tensor) -> Tensor:
        """(B, ...) float32 images -> answers."""
        if self._graph is None or self.engine == "simulated":
            simulated: Tensor = self.network(images)
            return simulated
        if images.dim() == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        answer: Tensor = self._graph.run(images)
        return answer


def integer(
    model: nn.Module, recipe: Recipe, calibration: Split, *, engine: str | None = None, loss: Loss | None = None
) -> IntegerNetwork:
    """Return a copy that does with integers what ``compress`` simulates.

    Weights need at most 8 symmetric bits and activations at most 8; both are bytes here however few bits they have. Batch-norm
    behind a convolution goes into its scale. Layers that cannot be done so are simulated and named, with the reason. The answers
    are checked against the simulated ones.

    Args:
        model, recipe: as of `compress`. calibration: a Split, from which ranges are found.
        engine: one of ``engines()``; the preferred one if not given. "simulated" does nothing in integers.

    Raises:
        RecipeError: weights or activations have no bits to do it with. InputError: an engine that is not here.
        And what `compress` raises.
    """
    if not isinstance(calibration, Split):
        raise InputError(f"calibration is {type(calibration).__name__}; expected a Split(images), such as experiment.train.")
    knowledge = knowledge_for(model, recipe, calibration, loss, None)
    decision = decision_for(model, recipe, calibration.sample_shape, knowledge)
    with preserved_rng():
        return integer_by(decision, calibration.sample_shape, chosen_engine(engine))


def integer_by(decision: Decision, input_shape: Sequence[int], engine: Engine | None) -> IntegerNetwork:
    """As `integer`, for a decision about a network; None for an engine simulates all.

    Raises:
        RecipeError: weights or activations have no bits to do it with.
    """
    settings = decision.recipe.quantization
    names = decision.decider.layers
    if settings is None or settings.activation_bits == 32 or all(decision.decider.bits(settings, name) == 32 for name in names):
        raise RecipeError(
            "Integer arithmetic needs weights and activations of at most 8 bits; got "
            f"{'no quantization' if settings is None else f'weight_bits={settings.weight_bits!r}'}, activation_bits="
            f"{32 if settings is None else settings.activation_bits}. Use Quantization(weight_bits=8, activation_bits=8)."
        )
    with torch.inference_mode(False), torch.no_grad():
        network = materialized_by(decision, input_shape).eval()
        if engine is None:
            why = "no integer operators on this machine, or switched off"
            return IntegerNetwork(network, None, None, dict.fromkeys(names, why))
        found, simulated = _codes(network, decision, engine)
        try:
            graph = compiled(portable_graph(network), found, engine)
        except (UnfitError, UnsupportedError) as error:
            why = f"the forward pass cannot be put into a graph: {error}"
            return IntegerNetwork(network, None, None, dict.fromkeys(names, why))
        made = IntegerNetwork(network, graph, engine, simulated)
        _check(made, network, input_shape)
    return made


def chosen_engine(name: str | None) -> Engine | None:
    """The engine of a name, the preferred one for None; None where nothing is done in integers."""
    here = engines()
    if name is None:
        return here[0] if here else None
    for each in here:
        if each == name:
            return each
    if name == "simulated":
        return None
    raise InputError(f"engine is {name!r}; this machine has {', '.join(map(repr, [*here, 'simulated']))}.")


def _codes(network: nn.Module, decision: Decision, engine: Engine) -> tuple[dict[str, Codes], dict[str, str]]:
    """What each layer multiplies, and why the others cannot."""
    grids, found, simulated = rounded_inputs(network), {}, {}
    known, without = codes_of_weights(network, decision)
    for name, layer in decision.decider.layers.items():
        module = network.get_submodule(layer.module_name)
        why = _unfit(module, layer.parameter, grids.get(layer.module_name), engine) or without.get(name, "")
        if why:
            simulated[name] = why
        else:
            found[layer.module_name] = Codes(*known[name], grids[layer.module_name].bytes)
    return found, simulated


def _unfit(module: nn.Module, parameter: str, grid: InputGrid | None, engine: Engine) -> str:
    if type(module) not in (nn.Conv2d, nn.Linear) or parameter != "weight":
        return f"{type(module).__name__} has no integer form here, only Conv2d and Linear"
    if grid is None:
        return "what goes into it is not rounded"
    if isinstance(module, nn.Conv2d) and (module.padding_mode != "zeros" or isinstance(module.padding, str)):
        return f"padding={module.padding!r}, padding_mode={module.padding_mode!r}"
    if isinstance(module, nn.Conv2d) and module.groups > 1 and engine == "int_mm":
        return "int_mm multiplies whole matrices: a convolution in groups has none"
    weight = module.get_parameter("weight")
    return "" if weight.dtype is torch.float32 and weight.device.type == "cpu" else f"{weight.dtype} on {weight.device}"


def _check(made: IntegerNetwork, network: nn.Module, input_shape: Sequence[int]) -> None:
    """Answers on noise, against the simulated ones.

    Raises:
        UnsupportedError: they differ by more than rounding can explain.
    """
    noise = torch.randn((_PROBE, *input_shape), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(noise.clone())
        try:
            found = made(noise.clone())
        except Exception as error:  # what stands between the layers is anybody's code
            raise UnsupportedError(
                f'The integer network fails: {type(error).__name__}: {str(error)[:200]}. Use engine="simulated".'
            ) from error
    apart = steps_apart(expected, found)
    if apart is not None:
        raise UnsupportedError(
            f"The integer network answers something else than the simulated one: they differ by {apart:.1%} of the largest "
            'answer. Use engine="simulated".'
        )
