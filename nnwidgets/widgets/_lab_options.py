"""Which choices the lab offers for a network, and why not the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.compression.choose import UNITS
from nnwidgets.engine.compression.support import misfit
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.pruning import fits, parsed
from nnwidgets.engine.pruning.channels import ChannelGroups
from nnwidgets.engine.pruning.criteria import CRITERIA
from nnwidgets.engine.pruning.pieces import has_kernels
from nnwidgets.engine.values.recipe import Pruning
from nnwidgets.widgets._lab_text import OPTIONS, PATTERNS, choice

__all__ = ["layers_for", "options_for", "settled"]


_PARTS = {"out": "also made by", "norm": "normalised by", "in": "read by"}
_REST = "also part of"


def layers_for(plan: CompressionPlan, units: bool = False) -> list[dict[str, Any]]:
    """The weight layers as the front end takes them: what can be removed of each, and what is coupled to it.

    Args:
        units: find out which units there are, which takes up to some seconds for a large network.
    """
    with_units = {structure: plan.layers_with(structure) for structure in UNITS} if units else {}
    rows = []
    for layer in plan.layers:
        can = ["weight", *(["kernel"] if has_kernels(layer) else [])]
        can += [pattern for pattern in PATTERNS if fits(layer, parsed(pattern)[1])]
        can += [structure for structure, names in with_units.items() if layer.name in names]
        shape = "\u00d7".join(str(size) for size in layer.shape)
        row: dict[str, Any] = {"name": layer.name, "label": layer.name, "kind": layer.kind, "shape": shape}
        row |= {"prunable_as": can, "params": shape}
        if units:
            row |= {"coupled": _coupled(plan.groups, layer.name), "refused": _sentence(plan.groups.refused.get(layer.name, ""))}
        rows.append(row)
    return rows


def _coupled(groups: ChannelGroups, layer: str) -> list[dict[str, Any]]:
    """What else makes, normalises and reads the units of a layer: a line each, with names and, for each, why."""
    lines: dict[str, dict[str, str]] = {}
    for bundle in groups.of(layer):
        for member in bundle.members:
            name = member.layer or member.module_name or member.name
            if name != layer and member.module_name != layer:
                lines.setdefault(_PARTS.get(member.role, _REST), {}).setdefault(name, member.why)
    return [{"what": what, "names": list(found), "why": list(found.values())} for what, found in lines.items()]


def _sentence(reason: str) -> str:
    return f"{reason[0].upper()}{reason[1:]}." if reason else ""


def options_for(
    experiment: Experiment, structure: str, layers: list[dict[str, Any]] | None = None, schedule: str = "one_shot"
) -> dict[str, list[dict[str, Any]]]:
    """All choices; those that this network, these data or this structure do not allow carry the reason.

    Args:
        layers: what `layers_for` gave, None before that is known: then no structure is ruled out.
        schedule: kind of the chosen schedule.
    """
    options = {name: [dict(each) for each in choices] for name, choices in OPTIONS.items()}
    sizes = {name: getattr(experiment, name) for name in ("test", "val")}
    options["sample"] = [each for each in options["sample"] if sizes[each["value"]] is not None]
    if experiment.train is None and experiment.val is None:
        options["activation_bits"] = options["activation_bits"][:1]  # ranges are found on images, and never on S_test
        for name in ("bias_correction", "rounding"):
            options[name][1]["disabled"] = "it looks at images, and there is no S_train to look at"
    if structure not in {each["value"] for each in options["structure"]}:
        options["structure"].append(choice(structure, f"{structure} pattern", "A pattern that was set from code."))
    if layers is not None and any("coupled" in layer for layer in layers):
        able = {can for layer in layers for can in layer["prunable_as"]}
        for each in options["structure"]:
            if each["value"] not in able and each["value"] != structure:
                each["disabled"] = "this network has no layer with it"
    split = experiment.train if experiment.train is not None else experiment.val
    for each in options["criterion"]:
        facts = CRITERIA[each["value"]]
        why = misfit(Pruning(0.5, structure, facts.name))
        if facts.needs != "weights" and split is None:
            why = "it looks at images, and there is no S_train to look at"
        elif facts.needs == "labels" and (split is None or split.labels is None):
            why = "it looks at the loss, and the images have no labels"
        if why:
            each["disabled"] = why
    for each in options["regrowth"]:
        why = _no_regrowth(each["value"], structure, schedule)
        if why:
            each["disabled"] = why
    for each in options["allocation"]:
        why = misfit(Pruning(0.5, structure, allocation=each["value"]))
        if why:
            each["disabled"] = why
    return options


def _no_regrowth(regrowth: str, structure: str, schedule: str) -> str:
    if regrowth == "dense_sparse_dense" and schedule != "one_shot":
        return "it has its own three phases: choose one-shot"
    if regrowth in ("rigl", "set") and schedule == "cubic":
        return "it needs a fixed number of weights: choose one-shot or iterative"
    return "it is for single weights" if regrowth in ("rigl", "set") and structure != "weight" else ""


def settled(controls: Mapping[str, Any], layers: list[dict[str, Any]]) -> dict[str, Any]:
    """The controls that have to follow a new structure, so that all go together again."""
    structure, allocation = controls["structure"], controls["allocation"]
    asked = Pruning(0.5, structure, controls["criterion"], "global" if isinstance(allocation, Mapping) else allocation)
    moved: dict[str, Any] = {}
    if misfit(replace(asked, allocation="global")):
        moved["criterion"] = "magnitude"
    if misfit(replace(asked, criterion="magnitude")):
        moved["allocation"] = "global"
    if isinstance(allocation, Mapping):
        able = {layer["name"] for layer in layers if structure in layer["prunable_as"] or ":" in structure}
        left = {name: share for name, share in allocation.items() if name in able}
        whole = ":" in structure  # shares between do not exist there
        if whole or left != dict(allocation):
            moved["allocation"] = left if left and not whole else "global"
    if ":" in structure:
        n, m = parsed(structure)
        moved["sparsity"] = 1 - n / m
    return moved
