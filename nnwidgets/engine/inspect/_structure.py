"""The structure of a network as the rows of a tree, and what can be shown of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.inspect._attending import attending_calls
from nnwidgets.engine.inspect._axes import why_not
from nnwidgets.engine.inspect._filters import weight_names
from nnwidgets.engine.inspect._layout import Layout, layouts
from nnwidgets.engine.inspect._sites import Site
from nnwidgets.engine.trace import INPUT, Call, Entry, Trace, trace
from nnwidgets.engine.values._fields import nearest

__all__ = ["Row", "Structure", "structure"]


@dataclass(frozen=True)
class Row:
    """One row: a call of a layer, of a function between layers, or one run of a container.

    Attributes:
        id: the name, "name#1" for call 1. name, call: as `feature_maps` takes them. label: the name without that of the container
            around it. path: the dotted name, with the call where it is not the first, to be read.
        kind: class of the layer, name of the function. depth: containers around it. parent: id of the innermost, "" for none.
        container: it holds other rows. function: it is no module.
        shape: of the first tensor that it gives, without the batch, () where there is none.
        params: parameters that no earlier row has used; macs: multiply-accumulates of one sample; share: of all macs, in [0, 1].
            Those of a container are the sums of what is in it.
        maps, filters, attention: `feature_maps`, `filters`, `attention_maps` can show it. reason: why there are no maps, else "".
        layout: where `as_maps` finds the channels, None where nothing tells.
    """

    id: str
    name: str
    call: int
    label: str
    path: str
    kind: str
    depth: int
    parent: str
    container: bool
    function: bool
    shape: tuple[int, ...]
    params: int
    macs: int
    share: float
    maps: bool
    filters: bool
    attention: bool
    reason: str
    layout: Layout | None

    @property
    def site(self) -> Site:
        """Its place in a run."""
        return Site(self.name, self.call)


@dataclass(frozen=True)
class Structure:
    """A network as a tree.

    Attributes:
        rows: in order of execution, a container before what is in it. input_shape, output_shapes: without the batch.
        total_params: all parameters, those that no row uses included; total_macs: multiply-accumulates of one sample.
        notes: what the reader should know: parameters that are not used, hooks that were not run.
    """

    rows: tuple[Row, ...]
    input_shape: tuple[int, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    total_params: int
    total_macs: int
    notes: tuple[str, ...] = ()
    _by_id: dict[str, Row] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {row.id: row for row in self.rows})

    def find(self, row_id: str) -> Row:
        """The row of an id.

        Raises:
            InputError: there is none; the nearest are offered.
        """
        row = self._by_id.get(row_id) if isinstance(row_id, str) else None
        if row is None:
            raise InputError(f"layer: got {row_id!r}, this network has no such row; {nearest(row_id, self._by_id)}")
        return row


def structure(model: nn.Module, input_shape: Sequence[int], traced: Trace | None = None) -> Structure:
    """Return what a network is made of, as it is run: layers, functions between them (residual adds too), containers.

    A module that is called again has a row for each call; pure views and copies have none. The network is left as it is.

    Args:
        input_shape: of one sample, e.g. (3, 224, 224). traced: what `trace` gave for the two, to save the time.

    Raises:
        InputError, ModelError, UnsupportedError: as `trace` does.
    """
    found = trace(model, input_shape) if traced is None else traced
    modules = dict(model.named_modules())
    return Structure(
        rows=_Tree(found, modules).rows(),
        input_shape=found.input_shape,
        output_shapes=found.output_shapes,
        total_params=found.params,
        total_macs=found.macs,
        notes=(*found.notes, *_unused(found, modules)),
    )


class _Tree:
    """The rows of a traced pass."""

    def __init__(self, traced: Trace, modules: dict[str, nn.Module]) -> None:
        self._traced, self._modules = traced, modules
        self._layouts = layouts(traced, modules)
        self._attending = attending_calls(traced, modules)
        self._live = _led_to_by_the_input(traced.calls)

    def rows(self) -> tuple[Row, ...]:
        """In order of execution; of two that begin together the outer one is first."""
        calls, entries = self._traced.calls, self._traced.entries
        around = _containers_of(len(calls), entries)
        shown = [call for call in calls if not call.moves or call.params]
        ordered: list[tuple[int, int, Call | Entry]] = [(entry.first, index, entry) for index, entry in enumerate(entries)]
        ordered += [(call.index, len(entries), call) for call in shown]
        ordered.sort(key=lambda item: item[:2])
        return tuple(
            self._of_entry(item) if isinstance(item, Entry) else self._of_call(item, around[item.index]) for *_, item in ordered
        )

    def _of_call(self, call: Call, within: int) -> Row:
        is_shown = call.is_module and bool(weight_names(call.name, self._modules[call.name]))
        attends = call.is_module and call.index in self._attending
        return self._row(call, within, call.params, call.macs, is_shown, attends)

    def _of_entry(self, entry: Entry) -> Row:
        inside = self._traced.calls[entry.first : entry.last]
        attends = sum(call.index in self._attending for call in inside) == 1
        return self._row(entry, entry.within, sum(c.params for c in inside), sum(c.macs for c in inside), False, attends)

    def _row(self, item: Call | Entry, within: int, params: int, macs: int, filters: bool, attention: bool) -> Row:
        parent = self._traced.entries[within] if within >= 0 else None
        prefix = f"{parent.name}." if parent is not None else ""
        site, reason = Site(item.name, item.call), why_not(item.results)
        sources = item.ends if isinstance(item, Entry) else (item.index,)
        if not reason and self._live.isdisjoint(sources):
            reason = "gives the same for every image"
        return Row(
            id=_id_of(site),
            name=site.name,
            call=site.call,
            label=site.name.removeprefix(prefix) or item.kind,
            path=str(site),
            kind=item.kind,
            depth=self._depth(within),
            parent=_id_of(Site(parent.name, parent.call)) if parent is not None else "",
            container=isinstance(item, Entry),
            function=isinstance(item, Call) and not item.is_module,
            shape=_shape_of(item),
            params=params,
            macs=macs,
            share=macs / self._traced.macs if self._traced.macs else 0.0,
            maps=not reason,
            filters=filters,
            attention=attention,
            reason=reason,
            layout=self._layouts.get(site),
        )

    def _depth(self, within: int) -> int:
        depth = 0
        while within >= 0:
            within, depth = self._traced.entries[within].within, depth + 1
        return depth


def _id_of(site: Site) -> str:
    return site.name if site.call == 0 else f"{site.name}#{site.call}"


def _containers_of(count: int, entries: Sequence[Entry]) -> list[int]:
    """For each call the index of the innermost container that it ran in, -1 for none: inner ones were entered later."""
    found = [-1] * count
    for index, entry in enumerate(entries):
        found[entry.first : entry.last] = [index] * (entry.last - entry.first)
    return found


def _led_to_by_the_input(calls: Sequence[Call]) -> frozenset[int]:
    """Indices of the calls that depend on the network's input, `INPUT` too."""
    found = {INPUT}
    for call in calls:
        if not found.isdisjoint(call.producers):
            found.add(call.index)
    return frozenset(found)


def _shape_of(item: Call | Entry) -> tuple[int, ...]:
    if not item.results:
        return ()
    result = item.results[0]
    if result.batch_axis == 1 and len(result.shape) == 3:  # (places, batch, channels)
        return (result.shape[0], result.shape[2])
    return result.shape


def _unused(traced: Trace, modules: dict[str, nn.Module]) -> list[str]:
    """Parameters that no call has used, with the outermost modules that were never entered."""
    left = traced.params - sum(call.params for call in traced.calls)
    if left <= 0:
        return []
    ran = {name for call in traced.calls for name in (call.name, *_enclosing(call.name))}
    ran |= {name for entry in traced.entries for name in (entry.name, *_enclosing(entry.name))}
    layers = {call.name for call in traced.calls if call.is_module}
    idle = [
        name
        for name, module in modules.items()
        if name
        and name not in ran
        and any(True for _ in module.parameters())
        and not any(outer in layers or outer not in ran for outer in _enclosing(name) if outer)
    ]
    sizes = {id(p): p.numel() for name in idle for p in modules[name].parameters()}
    are_all = sum(sizes.values()) == left  # else some of them are used without their module
    where = f" ({', '.join(idle[:6])}{', ...' if len(idle) > 6 else ''})" if are_all else ""
    return [f"{left:,} parameters are not used in eval mode{where}"]


def _enclosing(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts))]
