"""What the layer explorer does for one position of its controls: steps in the worker thread, each of which may publish a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nnwidgets.engine.errors import InputError, NnwError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.experiment.inspection import Inspection
from nnwidgets.engine.experiment.pictures import Picture, own_picture, picked, picture_of, sample_of
from nnwidgets.engine.inspect import Maps, Row, attention_maps, filters, grid, projection_steps
from nnwidgets.figures import text
from nnwidgets.figures.inspect_charts import profile_chart, unit_figures
from nnwidgets.widgets import _explorer_panels as panels
from nnwidgets.widgets import _explorer_view as records

__all__ = ["ExplorerWork", "Wish", "place_in"]

Publish = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Wish:
    """What the controls ask for, at one moment."""

    turn: int
    layer: str
    channel: int
    view: str
    image_index: int
    sample: str
    pick: str
    picked_class: int
    order: str
    scale: str
    input_channel: int
    position: str
    compare: bool


class ExplorerWork:
    """Makes records for the front end. All methods run in the worker thread of the experiment's jobs.

    Args:
        publish: takes traits and their records; called as soon as a part is there.
    """

    def __init__(self, experiment: Experiment, publish: Publish) -> None:
        self.exp, self.publish = experiment, publish
        self.inspection = Inspection(experiment)
        self.own: Picture | None = None
        self.off: tuple[tuple[str, int], ...] = ()
        self._told: tuple[object, ...] | None = None  # the image card that was published last
        self.declined: set[tuple[str, ...]] = set()  # what was cancelled or failed is not begun again by itself

    # --- the image --------------------------------------------------------------------------------------------------

    def picture(self, wish: Wish) -> tuple[Picture, int, int]:
        """(the image, its number, images there are to go through)."""
        if self.own is not None:
            return self.own, -1, 0
        split = sample_of(self.exp, wish.sample)
        places = picked(split, wish.pick, wish.picked_class, self.inspection.answers_of(wish.sample))
        place = min(wish.image_index, len(places) - 1)
        return picture_of(split, wish.sample, int(places[place])), place, len(places)

    def take_own(self, pixels: Any, key: object, note: str) -> None:
        """Look at an image of one's own from now on."""
        self.own = own_picture(self._a_split(), pixels, key, note)

    def _a_split(self) -> Any:
        return next(split for split in (self.exp.val, self.exp.test, self.exp.train) if split is not None)

    def _input(self, wish: Wish, picture: Picture, place: int, count: int) -> dict[str, Any]:
        forward = self.inspection.known(picture)
        names, answer, right = self.exp.class_names, "", None
        if forward is not None and forward.answer is not None and bool(forward.answer.isfinite().all()):
            first = int(forward.answer.argmax())
            answer = records.name_of(names, first)
            right = None if picture.label is None else first == picture.label
        told = (picture.key, place, count, answer, right)
        if told == self._told:
            return {}
        self._told = told
        return {"input": records.input_record(picture, place, count, answer, names, right)}

    def _tell_input(self, wish: Wish, picture: Picture, place: int, count: int) -> None:
        """Publish the image card, where it says something new."""
        card = self._input(wish, picture, place, count)
        if card:
            self.publish(card)

    # --- one position -----------------------------------------------------------------------------------------------

    def render(self, wish: Wish, stale: Callable[[], bool]) -> Iterator[None]:
        """Publish all that the controls ask for, the middle first."""
        row = self.inspection.structure.find(wish.layer)
        if wish.pick == "worst" and self.own is None and self.inspection.answers_of(wish.sample) is None:
            for _ in self.inspection.answer_all(wish.sample):
                yield
        picture, place, count = self.picture(wish)
        self._tell_input(wish, picture, place, count)
        yield
        if self._asks(wish, row):
            return
        captured = row.maps and self.inspection.known(picture, row.site) is None
        if captured:
            show = self._early(wish, row, picture) if wish.view == "maps" and not wish.compare else None
            if self.inspection.look(picture, row, seen=show, stale=stale) is None:
                return
            yield
        self._tell_input(wish, picture, place, count)
        yield from self._panel(wish, row, picture, stale)
        yield
        yield from self._unit(wish, row, picture)
        yield
        yield from self._answers(wish, row, picture)

    def _asks(self, wish: Wish, row: Row) -> bool:
        """A large layer is asked for first."""
        if not row.maps or wish.view in ("filters", "training") or not self.inspection.has_to_ask(row):
            return False
        size = " ".join(text.size(self.inspection.bytes_of(row)))
        ask = {"text": f"This layer gives {size} for one image.", "label": f"Show {size}"}
        title = f"{row.path}"
        self.publish({"panel": records.panel(wish.view, row.id, title, ask=ask), "unit": None})
        return True

    def _early(self, wish: Wish, row: Row, picture: Picture) -> Callable[[Any, Maps], None]:
        """Show maps while the rest of the network still runs."""

        def show(site: object, maps: Maps) -> None:
            self.publish({"panel": self._maps_panel(wish, row, maps)})

        return show

    def _panel(self, wish: Wish, row: Row, picture: Picture, stale: Callable[[], bool]) -> Iterator[None]:
        views: dict[str, Callable[[Wish, Row, Picture, Callable[[], bool]], Iterator[None]]] = {
            "maps": self._maps,
            "filters": self._filters,
            "attention": self._attention,
            "deconvnet": self._deconvnet,
            "histogram": self._histogram,
            "top9": self._top,
        }
        view = views.get(wish.view)
        if view is not None:
            try:
                yield from view(wish, row, picture, stale)
            except NnwError as error:  # said in the place of the picture; the rest of the widget goes on
                self.publish({"panel": records.empty_panel(wish.view, row.id, row.path, str(error))})

    # --- views ------------------------------------------------------------------------------------------------------

    def _maps(self, wish: Wish, row: Row, picture: Picture, stale: Callable[[], bool]) -> Iterator[None]:
        maps = self._known_maps(row, picture)
        other, words = None, ""
        if wish.compare:
            if self.inspection.known(picture, row.site, compressed=True) is None:
                if self.inspection.look(picture, row, compressed=True, stale=stale) is None:
                    return
                yield
            forward = self.inspection.known(picture, row.site, compressed=True)
            other = None if forward is None else forward.maps.get(row.site)
            words = records.state_words(self.exp)
        self.publish({"panel": self._maps_panel(wish, row, maps, other, words)})
        yield

    def _known_maps(self, row: Row, picture: Picture) -> Maps:
        forward = self.inspection.known(picture, row.site)
        if forward is None or row.site not in forward.maps:
            raise InputError(row.reason or (forward.refused.get(row.site, "") if forward else "") or "nothing was captured.")
        return forward.maps[row.site]

    def _maps_panel(self, wish: Wish, row: Row, maps: Maps, other: Maps | None = None, words: str = "") -> dict[str, Any]:
        found = self.inspection.statistics_of(row.site, wish.sample)
        order = records.ranked(maps.values[0], wish.order, None if found is None else found.selectivity)
        around = self.inspection.around(row)
        return records.maps_panel(row, maps, order, wish.scale == "tile", self._off_in(row), around, other, words)

    def _off_in(self, row: Row) -> frozenset[int]:
        return frozenset(channel for layer, channel in self.off if layer == row.id)

    def _filters(self, wish: Wish, row: Row, picture: Picture, stale: Callable[[], bool]) -> Iterator[None]:
        found = filters(self.inspection.network, row.name, self.exp.input_shape)
        twin = filters(self.inspection.compressed(), row.name, self.exp.input_shape) if wish.compare else None
        yield
        per_tile, words = wish.scale == "tile", records.state_words(self.exp) if wish.compare else ""
        shown = panels.filters_panel(row, found, wish.input_channel, per_tile, self._off_in(row), twin, words)
        self.publish({"panel": shown})
        yield

    def _attention(self, wish: Wish, row: Row, picture: Picture, stale: Callable[[], bool]) -> Iterator[None]:
        maps = attention_maps(self.inspection.network, picture.inputs, row.name, row.call)[0]
        raster = grid(maps, 112, False, wish.scale == "tile")
        tiles = [{"id": head, "label": str(head), "text": f"head {head}"} for head in range(len(maps))]
        heads, queries, keys = maps.shape
        caption = f"{queries} queries (down) by {keys} keys (across), each row adds up to 1"
        shown = records.panel(
            "attention",
            row.id,
            f"{heads} heads of {row.path}",
            caption=caption,
            tiles=tiles,
            raster=records.raster_record(raster),
        )
        self.publish({"panel": shown})
        yield

    def _deconvnet(self, wish: Wish, row: Row, picture: Picture, stale: Callable[[], bool]) -> Iterator[None]:
        maps = self._known_maps(row, picture).values[0]
        channel = min(wish.channel, len(maps) - 1)
        place = place_in(wish.position, maps[channel])
        self.inspection.make_room(picture, row)
        steps = projection_steps(
            self.inspection.network, picture.inputs, row.name, channel, place, row.call, own=True, layouts=self.inspection.layouts
        )
        while True:
            try:
                next(steps)
            except StopIteration as end:
                made = end.value
                break
            yield
            if stale():
                return
        self.publish({"panel": panels.deconvnet_panel(row, channel, place, made, len(maps))})
        yield

    def _histogram(self, wish: Wish, row: Row, picture: Picture, stale: Callable[[], bool]) -> Iterator[None]:
        found = self.inspection.statistics_of(row.site, wish.sample)
        title = f"outputs of {row.path}"
        why = self.inspection.unmeasured(row, wish.sample)
        if found is None and ("statistics", wish.sample) in self.declined:
            why = f"not measured over S_{wish.sample}: press “Measure all layers” below the structure"
        if why:
            self.publish({"panel": records.empty_panel("histogram", row.id, title, why)})
            return
        if found is None:
            self.publish({"panel": records.panel("histogram", row.id, title, busy="measuring over the sample")})
            return
        self.publish({"panel": panels.histogram_panel(row, found, wish.channel)})
        yield

    def _top(self, wish: Wish, row: Row, picture: Picture, stale: Callable[[], bool]) -> Iterator[None]:
        if not self.inspection.has_top(row, wish.sample):
            if ("top9", row.id, wish.sample) in self.declined:
                why = f"not looked for in S_{wish.sample}"
                self.publish({"panel": records.empty_panel("top9", row.id, f"top 9 of {row.path}", why)})
                return
            self.publish({"panel": records.panel("top9", row.id, f"top 9 of {row.path}", busy="looking through the sample")})
            return
        count = self.inspection.channels_of(row)
        channel = wish.channel if count is None else min(wish.channel, count - 1)
        found = yield from self.inspection.strongest(row, channel, wish.sample)
        if not stale():
            self.publish({"panel": panels.top_panel(row, channel, found)})
        yield

    # --- the unit and the answers -----------------------------------------------------------------------------------

    def _unit(self, wish: Wish, row: Row, picture: Picture) -> Iterator[None]:
        forward = self.inspection.known(picture, row.site)
        if forward is None or row.site not in forward.maps:
            self.publish({"unit": None})
            return
        maps = forward.maps[row.site].values[0]
        channel = min(wish.channel, len(maps) - 1)
        place = place_in(wish.position, maps[channel]) or records.strongest(maps[channel])
        field, words = self._field(row, place)
        found = self.inspection.statistics_of(row.site, wish.sample)
        figures, charts = {}, {}
        if found is not None and channel < len(found.mean):
            figures = unit_figures(found, channel)
            charts = profile_chart(found, channel, self.exp.class_names)
        weight = self.inspection.filter_of(row, channel)
        filter_of = None if weight is None else records.filter_raster(weight)
        off = (row.id, channel) in self.off
        unit = records.unit_record(row, channel, maps[channel], place, field, words, filter_of, off, figures, charts)
        self.publish({"unit": unit})
        yield

    def _field(self, row: Row, place: tuple[int, int]) -> tuple[tuple[int, int, int, int] | None, str]:
        """The pixels that a place can see, and in words."""
        field = self.inspection.field_or_none(row)
        if field is None:
            return None, ""
        box = field.box(*place)
        if field.whole:
            return box, "it sees the whole image"
        return box, records.field_words(field.size, field.image, box)

    def _answers(self, wish: Wish, row: Row, picture: Picture) -> Iterator[None]:
        other: Tensor | None = None
        words = ""
        if self.off:
            other, words = (yield from self.inspection.logits_without(picture, self.off)), "switched off"
        elif wish.compare:
            compressed = self.inspection.known(picture, compressed=True)
            if compressed is None and row.maps:
                compressed = self.inspection.look(picture, row, compressed=True)
                yield
            other, words = (None if compressed is None else compressed.answer), "compressed"
        forward = self.inspection.known(picture)
        if forward is None or forward.answer is None:
            return
        dense, second = forward.answer.softmax(0), None if other is None else other.softmax(0)
        self.publish({"answers": records.answers_record(dense, second, words, self.exp.class_names, picture)})
        yield


def place_in(position: str, values: Tensor) -> tuple[int, int] | None:
    """The place that was clicked, as far as this map has it."""
    try:
        y, x = (int(part) for part in position.split(","))
    except ValueError:
        return None
    height, width = values.shape
    return (y, x) if 0 <= y < height and 0 <= x < width else None
