"""What the compression lab shows: figures and charts, made from what the experiment has measured."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.compression.choose import UNITS
from nnwidgets.engine.costs import energy_of
from nnwidgets.engine.experiment import Experiment, State, Visit
from nnwidgets.engine.experiment.bench import Bench
from nnwidgets.engine.experiment.scanning import Scan
from nnwidgets.engine.experiment.tasks import Timing
from nnwidgets.engine.pruning.criteria import CRITERIA
from nnwidgets.engine.quantization import Quantized
from nnwidgets.engine.search import SearchPoint
from nnwidgets.engine.trace.weights import weight_of
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.values.records import Cost
from nnwidgets.figures import compression as printed
from nnwidgets.figures import compression_charts as charts
from nnwidgets.figures import text
from nnwidgets.figures.footprint_chart import Looked, Method, Trained, Visited, footprint_chart, in_words
from nnwidgets.figures.records import Chart, Figure, Note
from nnwidgets.figures.sensitivity_chart import sensitivity_chart

__all__ = ["LabView", "recipe_words"]

_BINS = 49
_OBSERVERS = {"percentile": "percentile", "mse": "least squares", "kl": "KL divergence", "hand": "hand"}


def recipe_words(recipe: Recipe) -> str:
    """A recipe in a few words."""
    parts = []
    if recipe.pruning is not None:
        parts.append(_pruned(recipe.pruning))
    if recipe.quantization is not None:
        parts.append(_rounded(recipe.quantization))
    return ", ".join(parts) or "dense"


def _rounded(quantization: Quantization) -> str:
    return ", ".join([*_rounded_weights(quantization), *_rounded_inputs(quantization)])


def _rounded_weights(quantization: Quantization) -> list[str]:
    bits = quantization.weight_bits
    if bits == 32:
        return []
    shifts = ["steps of powers of two"] if quantization.power_of_two else []
    found = [f"{bits} bit" if isinstance(bits, int) else "bits by layer"]
    if quantization.method == "codebook":
        return [f"{found[0]} codebook" if isinstance(bits, int) else "codebook with bits by layer"]
    if quantization.method != "affine":
        return [" with ".join([quantization.method, *shifts])]
    if quantization.observer == "hand":
        found.append(f"{text.percent(quantization.range_share, 0)} % of the range")
    elif quantization.observer == "learned":
        found.append("steps not learned yet" if quantization.scales is None else "steps learned")
    elif quantization.observer != "minmax":
        found.append(f"range by {_OBSERVERS[quantization.observer]}")
    remedies = [
        *(["channels equalized"] if quantization.equalize else []),
        *(["biases corrected"] if quantization.bias_correction else []),
        *(["rounded together"] if quantization.rounding == "adaptive" else []),
    ]
    return [" ".join([*found, *shifts]), *remedies]


def _rounded_inputs(quantization: Quantization) -> list[str]:
    if quantization.activation_bits == 32:
        return []
    words = f"activations {quantization.activation_bits} bit"
    by = quantization.activation_observer
    return [words if by == "minmax" else f"{words} range by {_OBSERVERS[by]}"]


def _pruned(pruning: Pruning) -> str:
    kind = f"{pruning.structure}s" if ":" not in pruning.structure else f"weights ({pruning.structure})"
    by = "" if pruning.criterion == "magnitude" else f" by {CRITERIA[pruning.criterion].label}"
    return f"{text.percent(pruning.amount, 0)} % of {kind} pruned{by}"


def _by_units(recipe: Recipe) -> bool:
    """True where whole units are removed, with all that is coupled to them."""
    pruning = recipe.pruning
    return pruning is not None and pruning.masks is None and pruning.structure in UNITS


_TRAINED: dict[str, Trained] = {
    "fine_tune": "fine-tuned",
    "prune": "in rounds",
    "untrained": "not trained",
    "recalibrate": "batch-norm measured again",
}
"""Kind of an attempt -> what it is called in the chart."""


def _method(recipe: Recipe) -> Method:
    if recipe.pruning is None:
        return "weights" if recipe.quantization is None else "bits"
    if recipe.quantization is not None:
        return "both"
    return "units" if _by_units(recipe) else "weights"


class LabView:
    """Builds the records for one lab; keeps nothing but histograms of layers."""

    def __init__(self, experiment: Experiment) -> None:
        self._exp = experiment
        self.timing: Timing | None = None
        self.times: dict[State, float] = {}  # measured milliseconds
        self.scan: Scan | None = None
        self._searched: dict[Recipe, SearchPoint] = {}  # what a search has been to
        self._search_merit = "size"
        self._bins: dict[tuple[str | None, str], tuple[weakref.ref[Bench], charts.WeightBins]] = {}

    # --- printed figures ----------------------------------------------------------------------------------------------

    def figures(self) -> dict[str, Figure]:
        """Size, multiply-accumulates and latency of the present state."""
        live = self._exp.live
        if live.cost is None or live.dense_cost is None:
            return {}
        return {
            "size_encoded": printed.size_figure(live.cost, live.dense_cost),
            "macs_nonzero": printed.macs_figure(live.cost, live.dense_cost, _by_units(live.state.recipe)),
            "latency": self._latency(live.state, live.cost, live.dense_cost),
        }

    def _latency(self, state: State, now: Cost, dense: Cost) -> Figure:
        timing = self.timing
        if timing is None:
            return printed.latency_figure(None, state.recipe != Recipe())
        small = timing.small if timing.state == state else None  # measured of another state
        fewer = dense.macs / now.macs_nonzero if small is not None and now.macs_nonzero else None
        return printed.latency_figure(timing.dense, state.recipe != Recipe(), small, fewer)

    def accuracy(self) -> dict[str, Figure]:
        """Accuracy as far as it is known, nothing before the first image."""
        live = self._exp.live
        if live.estimate is None:
            return {}
        figure = printed.accuracy_figure(live.estimate, live.dense, 1 - self._exp.goal)
        states = "1 state" if live.looks == 1 else f"{text.count(live.looks)} states"
        looks = Note(f"{states} looked at on S_test", name="looks", raw=live.looks)
        notes = (*figure.notes, looks) if live.sample == "test" else figure.notes
        return {"accuracy": Figure(figure.raw, figure.value, figure.unit, notes, figure.role, figure.bar)}

    # --- charts -------------------------------------------------------------------------------------------------------

    def pareto(self, merit: str = "size") -> dict[str, Chart]:
        """The visited states, by a figure of merit, and where the present one stands."""
        live = self._exp.live
        if live.cost is None or live.dense_cost is None:
            return {}
        visits = [visited for visit in live.visits if (visited := self._visited(visit, merit)) is not None]
        now, dense = self._footprint(live.state, live.cost, merit), self._footprint(State(), live.dense_cost, merit)
        searched = [look for point in self._searched.values() if (look := self._looked(point, merit)) is not None]
        return {"pareto": footprint_chart(visits, now, live.estimate, dense, 1 - self._exp.goal, merit, searched)}

    def _footprint(self, state: State, cost: Cost, merit: str) -> float | None:
        if merit == "latency":
            return self.times.get(state)
        if merit == "energy":
            return energy_of(cost, state.recipe).total_nonzero_uj
        return cost.bytes_encoded if merit == "size" else cost.macs_nonzero

    def _visited(self, visit: Visit, merit: str) -> Visited | None:
        figures = {"size": visit.bytes_encoded, "macs": visit.macs_nonzero, "energy": visit.energy_uj}
        footprint = self.times.get(visit.state) if merit == "latency" else figures[merit]
        if footprint is None:
            return None
        estimate, attempt, recipe = visit.estimate, visit.state.attempt, visit.state.recipe
        words = f"{recipe_words(recipe)}: {text.percent(estimate.accuracy)} %, {in_words(merit, footprint)}"
        trained: Trained = "" if attempt is None or recipe != attempt.result else _TRAINED[attempt.kind]
        method = _method(recipe)
        return Visited(footprint, estimate.accuracy, estimate.low, estimate.high, estimate.final, method, trained, words)

    def note_search(self, merit: str) -> None:
        """A search begins; points of an earlier one are taken away."""
        self._searched, self._search_merit = {}, merit

    def note_point(self, point: SearchPoint) -> None:
        """A search has been to a point, or knows more of it."""
        self._searched[point.recipe] = point

    def _looked(self, point: SearchPoint, merit: str) -> Looked | None:
        known = {"size": point.bytes_encoded, "macs": point.macs_nonzero, self._search_merit: point.merit}
        if merit not in known:
            return None
        right = f"{text.percent(point.estimate.accuracy)} % right on {text.count(point.estimate.n_seen)} images of S_val"
        words = f"{recipe_words(point.recipe)}: {in_words(merit, known[merit])}, {right}: {point.verdict} the goal"
        return Looked(known[merit], point.estimate.accuracy, words.replace("undecided the goal", "undecided"))

    def note_timing(self, timing: Timing) -> None:
        """Keep what was measured; later measurements are told in the dense network's first time."""
        self.timing = timing
        dense = self.times.setdefault(State(), timing.dense.median_ms)
        if timing.small is not None:
            self.times[timing.state] = dense * timing.small.median_ms / timing.dense.median_ms
        elif timing.state.recipe.quantization is None:  # zeros: dense kernels execute them as before
            self.times[timing.state] = dense

    def layers(self, selected: str) -> dict[str, Chart]:
        """All layers: weights kept and multiply-accumulates."""
        live = self._exp.live
        if live.cost is None or live.dense_cost is None:
            return {}
        return {"layers": charts.layers_chart(live.cost, live.dense_cost, selected, self._together(live.state.recipe))}

    def _together(self, recipe: Recipe) -> dict[str, tuple[str, ...]]:
        """Layer -> the layers that lose units together with it; nothing where single weights go."""
        if not _by_units(recipe):
            return {}
        groups = self._exp.bench(None).plan.groups
        found: dict[str, tuple[str, ...]] = {}
        for bundle in groups.bundles:
            for name in bundle.producers:
                found[name] = tuple(dict.fromkeys((*found.get(name, ()), *(each for each in bundle.producers if each != name))))
        return found

    def sensitivity(self) -> dict[str, Chart]:
        """What each layer can bear, with where it stands now; nothing before it was asked for."""
        cost, scan = self._exp.live.cost, self.scan
        if scan is None or cost is None:
            return {}
        now = {name: 1 - layer.nonzero / layer.params if layer.params else 0.0 for name, layer in cost.layers.items()}
        other = scan.weights_key != self._exp.live.state.weights_key
        return {"sensitivity": sensitivity_chart(scan.table, now, scan.sample, other)}

    def rows(self) -> list[dict[str, Any]]:
        """The table of layers: share removed by the recipe, what is kept, bytes, multiply-accumulates."""
        live = self._exp.live
        cost, recipe = live.cost, live.state.recipe
        if cost is None:
            return []
        removed = cost
        if recipe.quantization is not None:  # rounding makes zeros too, but removes nothing
            removed = self._exp.bench(live.state.weights_key).plan.figures(Recipe(recipe.pruning))
        return [
            {
                "name": layer.name,
                "amount": round(1 - removed.layers[layer.name].nonzero / layer.params, 4) if layer.params else 0.0,
                "kept": f"{text.count(layer.nonzero)} of {text.count(layer.params)}",
                "bits": layer.bits if layer.bits <= 8 else 32,
                "bytes": " ".join(text.size(layer.bytes_encoded)) + f", {layer.encoding}",
                "macs": "".join(text.scaled(layer.macs_nonzero, ("", " k", " M", " G"))),
            }
            for layer in cost.layers.values()
        ]

    def histogram(self, name: str) -> dict[str, Chart]:
        """Weights of one layer with what is removed and the quantization levels."""
        live = self._exp.live
        state = live.state
        bench = self._exp.bench(state.weights_key)
        layer = next((layer for layer in bench.plan.layers if layer.name == name), None)
        if layer is None or live.cost is None:
            return {}
        bins = self._weight_bins(state, name)
        threshold = bench.plan.threshold(state.recipe, name)
        if threshold is None and state.recipe.pruning is not None and state.recipe.pruning.amount > 0:
            mask = bench.plan.masks(state.recipe)[name]
            kept = bench.plan.effective(Recipe(state.recipe.pruning), name)[mask].float().cpu().numpy()
            if np.abs(kept).max(initial=0.0) > bins.edges[-1]:  # weights that make up for others have grown
                bins = _binned(weight_of(bench.base, layer).detach().float().cpu().numpy().ravel(), float(np.abs(kept).max()))
            bins = charts.WeightBins(bins.edges, bins.counts, bins.zeros, np.histogram(kept[kept != 0], bins.edges)[0])
        quantized = bench.plan.quantized(state.recipe, name)
        levels, words = None, f"{text.count(int(bins.counts.sum()) + bins.zeros)} weights"
        if quantized is not None:
            levels, words = _levels(quantized)
        return {"histogram": charts.histogram_chart(name, bins, threshold, levels, words)}

    def _weight_bins(self, state: State, name: str) -> charts.WeightBins:
        bench = self._exp.bench(state.weights_key)
        key = (state.weights_key, name)
        found = self._bins.get(key)
        if found is not None and found[0]() is bench:
            return found[1]
        layer = next(layer for layer in bench.plan.layers if layer.name == name)
        values = weight_of(bench.base, layer).detach().float().cpu().numpy().ravel()
        bins = _binned(values, float(np.abs(values).max(initial=0.0)) or 1.0)
        self._bins = {**({} if len(self._bins) > 64 else self._bins), key: (weakref.ref(bench), bins)}
        return bins


def _levels(quantized: Quantized) -> tuple[npt.NDArray[np.float64], str]:
    """Levels of the widest channel, and what they are in words."""
    channel = quantized.widest
    levels = quantized.levels(channel)
    if quantized.codebook is not None:
        return levels, f"{len(levels)} values of a codebook, by k-means"
    where = "" if channel is None else f" of channel {channel}, the widest"
    return levels, f"{len(levels)} levels{where}, scale {quantized.scale_of(channel):.3g}"


def _binned(values: npt.NDArray[np.float32], reach: float) -> charts.WeightBins:
    edges = np.linspace(-reach, reach, _BINS + 1)
    return charts.WeightBins(edges, np.histogram(values[values != 0], edges)[0], int((values == 0).sum()))
