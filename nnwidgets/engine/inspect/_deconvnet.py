"""What in the image made a unit fire, projected back to the pixels."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import InputError, UnsupportedError
from nnwidgets.engine.evaluation._memory import out_of_memory
from nnwidgets.engine.inspect._maps import Layouts
from nnwidgets.engine.inspect._rules import RULES, RuledBackward
from nnwidgets.engine.inspect._sites import as_inputs, site_of
from nnwidgets.engine.inspect._unit import Unit, recording, unit_of
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.steps import result_of

__all__ = ["Projection", "Projections", "deconvnet", "projection_steps", "projections"]

_LABELS = {"deconvnet": "Deconvnet", "guided": "guided backpropagation", "gradient": "gradient"}


@dataclass(frozen=True)
class Projection:
    """A unit, projected back to the image.

    Attributes:
        pixels: (B, *input_shape) in the units of the fed images, usually (B, C, H, W). values: (B,) activation of the unit, which
            is the seed. positions: (B, 2) where it is on its map, (y, x).
        rewritten: k, activations on the way whose backward signal follows the rule; activations: n, all that are nonlinear on
            the way from the image to the unit. k = n = 0 in front of the first one: then all rules are the gradient, exactly.
        label: "Deconvnet", "guided backpropagation" or "gradient", with "(ReLU6: extension)" where the rule was applied to one.
        notes: what else has to be known, in words.
    """

    pixels: Tensor
    rewritten: int
    activations: int
    positions: Tensor
    values: Tensor
    label: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Projections:
    """Several rules from one forward pass.

    Attributes:
        found: the projection of each rule that there is one for. refused: why there is none, for the others.
    """

    found: Mapping[str, Projection]
    refused: Mapping[str, str]


def deconvnet(
    model: nn.Module,
    images: Tensor,
    layer: str,
    channel: int,
    position: object = None,
    rule: str = "deconvnet",
    call: int = 0,
) -> Projection:
    """Project one unit of a layer back to the pixels (Zeiler & Fergus, ECCV 2014, arXiv:1311.2901).

    All units of the layer but this one are set to zero, and its activation is sent backwards: convolutions transposed without
    bias, batch-norm by its scale, max-pooling to the switch (where windows overlap, what comes together is summed; torch's
    ``MaxUnpool2d`` would keep one of them), average pooling spread, residual additions copied, and at each ReLU what comes from
    above where positive. That is autograd's backward pass but for the ReLU, so each kind of ReLU is met: in place, as a function,
    or used again. ReLU6 (any hardtanh from 0) gets the same rule, an extension that the label names.

    Args:
        model: any network; it is run in eval mode and left as it is. images: floating (B, *input_shape) as it takes them.
        layer: name as in `layers`, also of a container or of a function between layers; "" for the answer.
        channel: of its maps, as `feature_maps` gives them: a class or a feature for dense layers and tokens.
        position: (y, x) on the map, or (B, 2) of them; None for the strongest of each image. Ignored where the map is one number.
        rule: "deconvnet"; "guided" (Springenberg et al. 2015, arXiv:1412.6806: the signal also stops where the ReLU was off); or
            "gradient" (Simonyan et al. 2014, arXiv:1312.6034). Each is seeded with the activation: this is the gradient times it.
        call: which call of a layer that is called again.

    Raises:
        InputError: no such layer, channel, position or rule. ModelError: the unit is NaN.
        UnsupportedError: there are activations on the way, and none of them is a ReLU that the rule speaks of: use "gradient". Or
            no gradient gets back to the image at all.
    """
    made = projections(model, images, layer, channel, position, call, rules=(rule,))
    if rule in made.refused:
        raise UnsupportedError(f'{made.refused[rule]} Use rule="gradient".')
    return made.found[rule]


def projections(
    model: nn.Module,
    images: Tensor,
    layer: str,
    channel: int,
    position: object = None,
    call: int = 0,
    rules: Sequence[str] = RULES,
) -> Projections:
    """As `deconvnet`, by several rules from one forward pass; a rule that does not fit the network is told in ``refused``."""
    return result_of(projection_steps(model, images, layer, channel, position, call, rules))


def projection_steps(
    model: nn.Module,
    images: Tensor,
    layer: str,
    channel: int,
    position: object = None,
    call: int = 0,
    rules: Sequence[str] = RULES,
    *,
    own: bool = False,
    layouts: Layouts | None = None,
) -> Generator[None, None, Projections]:
    """As `projections`, for a job: yields after the forward pass and after each backward pass, and returns the result.

    Args:
        own: the network is the caller's own copy in eval mode; random states are then not guarded (a guard in a background thread
            would take back what the user's own code draws meanwhile). layouts: known ones, so that nothing has to be traced.
    """
    for rule in rules:
        if rule not in RULES:
            raise InputError(f"rule: got {rule!r}; {nearest(rule, RULES)}")
    unit = unit_of(model, as_inputs(model, images), site_of(layer, call), channel, position, own, layouts)
    found, refused = {}, {}
    for place, rule in enumerate(rules):
        yield
        made = _projected(unit, rule, keep=place < len(rules) - 1)
        if isinstance(made, str):
            refused[rule] = made
        else:
            found[rule] = made
    return Projections(found, refused)


def _projected(unit: Unit, rule: str, keep: bool) -> Projection | str:
    """One backward pass; ``keep``: another one follows. A string says why this rule does not fit."""
    backward = RuledBackward(rule, unit.way)
    values = unit.chosen.detach()
    try:
        with recording(), backward.running():
            # One number: for ``grad_outputs`` torch would load sympy.
            (pixels,) = torch.autograd.grad((unit.chosen * values).sum(), unit.image, retain_graph=keep)
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        raise UnsupportedError(
            f"the backward pass failed: {error} If the weights were changed meanwhile, ask again; else this network writes over "
            "what its gradient needs, and cannot be projected."
        ) from error
    k, n = backward.followed.total(), backward.activations.total()
    if rule != "gradient" and k == 0 and n > 0:
        return (
            f"none of the {n} activations on the way is a ReLU ({_listed(backward.activations)}), so there is nothing that "
            f"the rule of {_LABELS[rule]} speaks of."
        )
    label = _LABELS[rule] + (" (ReLU6: extension)" if backward.followed["hardtanh"] else "")
    return Projection(pixels.detach().contiguous(), k, n, unit.positions, values, label, _notes(unit, backward, rule))


def _notes(unit: Unit, backward: RuledBackward, rule: str) -> tuple[str, ...]:
    notes = [unit.note] if unit.note else []
    rest = backward.activations - backward.followed
    if rule != "gradient" and rest:
        k, n = backward.followed.total(), backward.activations.total()
        notes.append(f"{k} of {n} activations follow the rule; the others pass the gradient: {_listed(rest)}")
    if unit.way.passed:
        notes.append(f"passed as the gradient passes them: {_listed(unit.way.passed)}")
    off = int((unit.chosen.detach() == 0).sum())
    if off:
        notes.append(f"the unit is off (0) for {off} of {len(unit.chosen)} images: there is nothing to project")
    return tuple(notes)


def _listed(names: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({times})" for name, times in sorted(names.items()))
