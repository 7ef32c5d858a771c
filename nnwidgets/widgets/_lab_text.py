"""Words of the compression lab: choices with what they do, formula and source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnwidgets.engine.pruning.criteria import CRITERIA, Facts

__all__ = ["HELP", "OPTIONS", "PATTERNS", "SCORING", "choice"]

PATTERNS = ("2:4", "1:4", "4:8", "1:2")
"""Patterns that the menu offers; others can be set from code."""


SCORING: Mapping[str, str] = {
    "sensitivity": "Each layer is pruned alone, to see what it bears",
    "equalize": "Channels are equalized",
    "moments": "What each layer reads is looked at",
    "adaptive": "Weights are rounded together",
}
"""What is looked at before a recipe can be applied; other names are those of criteria."""


def choice(value: object, label: str, what: str, formula: str = "", source: str = "") -> dict[str, Any]:
    """One choice of a control with its explanation, as the front end takes it."""
    told = {"what": what, "formula": formula, "source": source}
    return {"value": value, "label": label, "help": {name: text for name, text in told.items() if text}}


def criterion_choice(facts: Facts) -> dict[str, Any]:
    """A criterion with its formulas."""
    parts = [f"weight: {facts.formula}" if facts.formula else "", f"unit: {facts.unit_formula}" if facts.unit_formula else ""]
    return choice(facts.name, facts.label, facts.what, "; ".join(filter(None, parts)), facts.source)


OPTIONS: Mapping[str, list[dict[str, Any]]] = {
    "structure": [
        choice(
            "weight",
            "weights",
            "Single connections are set to zero. Smaller when stored; dense kernels still multiply the zeros.",
        ),
        *(
            choice(
                pattern,
                f"{pattern} pattern",
                f"Of each {pattern[-1]} neighbours along the inputs {pattern[0]} are kept: zeros that some hardware can skip.",
                "the n largest |w| of each m",
                "Zhou et al. 2021",
            )
            for pattern in PATTERNS
        ),
        choice(
            "kernel",
            "kernels",
            "Whole two-dimensional kernels of convolutions, one for each pair of input and output channel.",
            source="Mao et al. 2017",
        ),
        choice(
            "filter",
            "filters",
            "Whole filters, with their batch-norm, with what reads their channel, and with the filters of other layers that are "
            "added to them: the network really gets smaller.",
            source="Li et al. 2017",
        ),
        choice("neuron", "neurons", "Whole outputs of dense layers, with what reads them: the network really gets smaller."),
        choice("head", "attention heads", "Whole heads of attention, with their projections.", source="Michel et al. 2019"),
    ],
    "criterion": [criterion_choice(facts) for facts in CRITERIA.values()],
    "allocation": [
        choice("global", "global", "One ranking over all layers: layers with many small weights lose more."),
        choice(
            "normalized",
            "normalized",
            "One ranking over all layers, each layer's scores in its own scale. For units that are trained afterwards: no layer "
            "loses nearly all.",
            "score / sqrt(mean score² of the layer)",
            "Molchanov et al. 2017",
        ),
        choice("uniform", "uniform", "Each layer loses the same share."),
        choice(
            "erk",
            "ERK",
            "Small layers keep more (Erdos-Renyi-Kernel).",
            "kept share ~ (in + out + kh + kw) / (in · out · kh · kw)",
            "Mocanu et al. 2018; Evci et al. 2020",
        ),
        choice(
            "sensitivity",
            "by sensitivity",
            "Each layer loses what it bears: all would lose the same accuracy alone. Scans the layers first.",
            source="Han et al. 2015",
        ),
    ],
    "norm": [
        choice(1, "L1", "Filters are ranked by their mean |w|.", "mean |w|", "Li et al. 2017"),
        choice(2, "L2", "Filters are ranked by the root mean square of their weights.", "sqrt(mean w²)", "He et al. 2018"),
    ],
    "weight_bits": [choice(32, "32 bit, as trained", "No rounding.")]
    + [choice(bits, f"{bits} bit", f"{2**bits} levels at most for each weight.") for bits in range(8, 0, -1)],
    "activation_bits": [choice(32, "32 bit, as computed", "No rounding.")]
    + [choice(bits, f"{bits} bit", f"{2**bits} levels at most for what goes into each layer.") for bits in range(8, 1, -1)],
    "activation_symmetric": [
        choice(
            True, "symmetric", "Zero in the middle. After a ReLU half of the levels are never used.", "s = max|x| / (2^(b-1) - 1)"
        ),
        choice(False, "affine", "From the smallest to the largest input, with a zero point.", "s = (max - min) / (2^b - 1)"),
    ],
    "activation_observer": [
        choice("minmax", "min-max", "The range is that of all inputs seen: nothing of them is clipped.", "min x, max x"),
        choice("percentile", "percentile", "The largest inputs are clipped, this share of them is held.", "|x| at rank p N"),
        choice(
            "mse",
            "least squares",
            "The range whose rounding and clipping errors together are smallest.",
            "argmin over t of sum (x - x')²,  range t (min, max)",
            "Sung et al. 2015; Banner et al. 2019",
        ),
        choice(
            "kl",
            "KL divergence",
            "The range that keeps most of the histogram; at most a twentieth is clipped. Made for 8 bits and smooth histograms.",
            "argmin KL(histogram clipped || the same in few bins)",
            "Migacz 2017",
        ),
    ],
    "rounding_of": [
        choice("weights", "weights", "The weights of the chosen layer."),
        choice("inputs", "activations", "What goes into the chosen layer on images of S_train."),
    ],
    "method": [
        choice("affine", "even steps", "Levels lie at even steps; their number is that of the bits."),
        choice(
            "codebook",
            "codebook",
            "Each layer has a list of 2^b values, which lie where its weights do; a weight keeps the place of the nearest. "
            "One is zero where weights were removed.",
            "w' = c[q], q = argmin |w - c[k]|; c by k-means; n b / 8 + 4 · 2^b bytes",
            "Han et al. 2016",
        ),
        choice(
            "ternary",
            "ternary",
            "Minus, zero, plus: two bits. Small weights become zero.",
            "D = 0.7 mean |w|; s = mean of |w| > D; w' = s sign(w) where |w| > D, else 0",
            "Li & Liu 2016",
        ),
        choice(
            "binary",
            "binary",
            "Minus and plus: one bit. All weights have the same size.",
            "w' = mean |w| sign(w)",
            "Rastegari et al. 2016",
        ),
    ],
    "granularity": [
        choice("tensor", "per tensor", "One scale for a whole layer."),
        choice("channel", "per channel", "One scale for each output channel: ranges fit better, a few bytes more."),
    ],
    "symmetric": [
        choice(
            True,
            "symmetric",
            "Zero in the middle, no zero point. At 1 bit: ±mean |w|.",
            "s = max|w| / (2^(b-1) - 1)",
            "Rastegari et al. 2016 for 1 bit",
        ),
        choice(
            False,
            "affine",
            "From the smallest to the largest weight, with a zero point.",
            "s = (max - min) / (2^b - 1)",
            "Jacob et al. 2018",
        ),
    ],
    "observer": [
        choice("minmax", "min-max", "The range is that of the weights themselves: nothing is clipped.", "max |w|"),
        choice(
            "percentile",
            "percentile",
            "The largest weights are clipped, this share of them is held.",
            "|w| at rank p N",
        ),
        choice(
            "mse",
            "least squares",
            "The range whose rounding and clipping errors together are smallest.",
            "argmin over t of sum (w - w')²,  range t max |w|",
            "Sung et al. 2015; Banner et al. 2019",
        ),
        choice(
            "kl",
            "KL divergence",
            "The range that keeps most of the histogram of |w|. Made for activations and 8 bits.",
            "argmin KL(histogram clipped || the same in 2^(b-1) bins)",
            "Migacz 2017",
        ),
        choice("hand", "by hand", "The ends are drawn in by your hand, alike for every scale; what is beyond is clipped."),
        choice(
            "learned",
            "learned (LSQ)",
            "Fine-tune trains the steps between the levels with the weights; until then they stand where training begins. What "
            "is beyond the last level is clipped. Even, symmetric levels.",
            "w' = s clamp(round(w / s), -Q, Q), first s = 2 mean|w| / sqrt(Q); dw'/ds = round(w / s) - w / s inside, ±Q outside",
            "Esser et al. 2020",
        ),
    ],
    "power_of_two": [
        choice(False, "any", "The step between levels is what the range asks for."),
        choice(
            True,
            "power of two",
            "The step is rounded up: multiplying by it is a shift of bits.",
            "2^ceil(log2 s)",
        ),
    ],
    "equalize": [
        choice(False, "no", "Channels are rounded as they are."),
        choice(
            True,
            "yes",
            "Channels are scaled where they are made and scaled back where they are read: the same answers, ranges alike.",
            "s = sqrt(r_out / r_in)",
            "Nagel et al. 2019",
        ),
    ],
    "bias_correction": [
        choice(False, "no", "Biases stay as trained."),
        choice(
            True,
            "yes",
            "What rounding adds to the mean of an output is taken off its bias, or off the mean of the batch-norm behind.",
            "b' = b - mean((w' - w) x)",
            "Nagel et al. 2019",
        ),
    ],
    "rounding": [
        choice("nearest", "to the nearest", "Each weight goes to its nearest level."),
        choice(
            "adaptive",
            "together",
            "Each weight goes up or down so that the outputs of its layer change least, on images of S_train (AdaRound, by "
            "search).",
            "argmin over up, down of (w' - w) H (w' - w)',  H = mean x x'",
            "Nagel et al. 2020",
        ),
    ],
    "schedule": [
        choice("one_shot", "one-shot", "All is removed at once, then the network is trained."),
        choice(
            "iterative",
            "iterative",
            "In rounds: score, remove, train, repeat. Each round removes the same share of what is left.",
            "kept after round r of R: (1 - s)^(r / R)",
            "Han et al. 2015",
        ),
        choice(
            "cubic",
            "cubic",
            "Gradually while training: much at first, little at the end. The last quarter trains what is left.",
            "s(t) = s + (0 - s) (1 - t / T)³",
            "Zhu & Gupta 2017",
        ),
    ],
    "regrowth": [
        choice("none", "none", "What was removed stays removed."),
        choice(
            "rigl",
            "RigL",
            "While training, the smallest kept weights go, and as many others grow from zero where the gradient is largest.",
            "share moved: (a / 2)(1 + cos(πt / T))",
            "Evci et al. 2020",
        ),
        choice("set", "SET", "As RigL, but random ones grow.", source="Mocanu et al. 2018"),
        choice(
            "dense_sparse_dense",
            "dense-sparse-dense",
            "Train, remove and train, give back (from zero) and train at a tenth of the rate: the network ends dense.",
            source="Han et al. 2017",
        ),
    ],
    "merit": [
        choice("size", "size", "Bytes with the cheapest encoding of each weight tensor, as in the card above."),
        choice("macs", "MACs", "Multiply-accumulates on weights that are not zero, for one image."),
        choice(
            "energy",
            "energy (estimate)",
            "Microjoules for one image where zeros are neither multiplied nor read from memory, by published constants of a "
            "45 nm chip. Not a measurement.",
            "MACs × (multiply + add) + bytes / 4 × read",
            "Horowitz 2014",
        ),
        choice(
            "latency",
            "latency, measured",
            "Milliseconds for one image on this machine. Only states whose latency was measured are drawn; single zeros gain "
            "nothing in dense kernels, and simulated rounding has no time of its own.",
        ),
    ],
    "sample": [
        choice("test", "test", "S_test reports. Choose on S_val if you then report on S_test: each look is counted."),
        choice("val", "validation", "S_val, held out of S_train: the sample to choose settings on."),
    ],
}

HELP: Mapping[str, dict[str, str]] = {
    "sparsity": {
        "what": "The share of connections (or filters) that is removed. "
        "The network itself is never changed: Undo brings everything back.",
        "formula": "k = round(share × N) smallest of N",
        "source": "Han et al. 2015; Menghani 2021",
    },
    "structure": {"what": "What is removed: single weights, patterns of them, or whole units with all that is coupled to them."},
    "criterion": {
        "what": "What goes first. Criteria that look at images take them from S_train; they look once, and the slider is quick "
        "from then on."
    },
    "allocation": {"what": "How the removed share is spread over the layers; by hand in the table of layers."},
    "norm": {"what": "How the numbers of a kernel, filter, neuron or head become one."},
    "weight_bits": {
        "what": "Each weight is stored with so many bits. "
        "The rounding is simulated: the arithmetic stays in fp32, so the time does not change.",
        "formula": "q = clamp(round(w / s) + z), w' = (q - z) s",
        "source": "Krishnamoorthi 2018; Menghani 2021",
    },
    "activation_bits": {
        "what": "What goes into each layer is rounded to so many bits, with one scale a layer. Its range is found on images of "
        "S_train (calibration), run through the network as it is. Simulated: the arithmetic stays in fp32.",
        "formula": "q = clamp(round(x / s) + z), x' = (q - z) s",
        "source": "Jacob et al. 2018; Krishnamoorthi 2018",
    },
    "activation_symmetric": {"what": "Where the levels of inputs lie."},
    "activation_observer": {
        "what": "What sets the range of inputs. A few large inputs make all steps coarse; clipping them costs those few."
    },
    "calibration_images": {"what": "How many images of S_train the ranges are from, at most (fewer where a network is large)."},
    "method": {
        "what": "How weights become codes. Ternary and binary have rules of their own for the scale, and their own bits; a "
        "codebook has neither scale nor zero point."
    },
    "granularity": {"what": "How many scales a layer has."},
    "symmetric": {"what": "Where the levels lie."},
    "observer": {
        "what": "What sets the range of the levels. A few large weights make all steps coarse; clipping them costs those few."
    },
    "percentile": {"what": "Share of the weights of a tensor or channel that the range holds; the others are clipped."},
    "range_share": {"what": "Where the levels end: this share of the range of all weights. Finer steps, more weights clipped."},
    "power_of_two": {
        "what": "The step between two levels; true fixed point by a power of two.",
        "formula": "w = q 2^-n",
    },
    "equalize": {"what": "With one scale a layer, large channels no longer take the levels from small ones."},
    "bias_correction": {"what": "Rounding moves the mean of each channel; this moves it back. Needs images of S_train."},
    "rounding": {"what": "The error of one weight can make up for that of another. Needs images of S_train."},
    "sample": {"what": "The images that accuracy is measured on."},
    "schedule": {
        "what": "The standard algorithm: score, remove, train, repeat, until the share above is removed. "
        "Each round is a step that Undo takes back; One round goes on from wherever it stands.",
        "source": "Han et al. 2015; Menghani 2021",
    },
    "rounds": {"what": "How often it removes and trains."},
    "regrowth": {"what": "Removed weights may come back while the network is trained."},
    "prune_run": {
        "what": "The line: share removed. "
        "Circles: accuracy on S_val after each removal (hollow) and after each training (filled)."
    },
    "epochs": {
        "what": "Passes over S_train while fine-tuning, or in each round. "
        "Removed weights stay removed, rounded weights stay rounded.",
        "source": "Han et al. 2015",
    },
    "spread_bits": {
        "what": "Each layer gets its own bits, at most as many on average as are set now for all. A scan on S_val tells what "
        "each layer bears alone; those that bear least keep most. Undo, or the slider, brings the same bits for all back.",
        "source": "Wang et al. 2019 (HAQ); Shoham & Gersho 1988",
    },
    "start_untrained": {
        "what": "The network gets new random weights. Choose a share by SNIP or GraSP (or by chance, to compare), then "
        "Fine-tune: it is trained from the start with what is left. Epochs and rate are set as the network was trained.",
        "source": "Lee et al. 2019; Wang et al. 2020",
    },
    "recalibrate": {
        "what": "Means and variances of batch-norm are measured again on images of S_train, for the network as it is now. No "
        "labels are looked at and nothing is trained. Much of what removing filters costs is these numbers.",
        "source": "Li et al. 2020 (EagleEye); Wu & Johnson 2021",
    },
    "learning_rate": {"what": "Step size of Adam while fine-tuning, falling along a half cosine."},
    "accuracy": {
        "what": "Share of right answers. "
        "While images are still being counted, ± is a 95 % interval for the whole sample; it ends at zero.",
        "formula": "strata h = label x margin: sum W_h p_h, plus or minus 1.96 sqrt(sum W_h^2 p_h (1 - p_h) / n_h)",
        "source": "Neyman 1934",
    },
    "size_encoded": {
        "what": "Bytes with the cheapest of dense, bitmask and CSR for each weight tensor, "
        "indices, scales and file header counted.",
        "formula": "CSR: nnz (v + i) + i (rows + 1); bitmask: nnz v + n / 8",
    },
    "macs_nonzero": {
        "what": "Multiply-accumulates for one image on weights that are not zero. "
        "Dense kernels execute all of them. 1 MAC = 2 FLOPs."
    },
    "latency": {
        "what": "Measured on this machine: median of many runs. Masks and simulated rounding do not make dense kernels faster."
    },
    "search": {
        "what": "Tries structures, criteria, ways to spread and bits; within each it halves its way to the largest share that "
        "meets the goal on S_val. A candidate is left as soon as its interval is clear of the goal; the best is verified on all "
        "of S_val. Nothing is trained. What is found becomes the present state.",
    },
    "budget": {"what": "Seconds that the search may take. It ends earlier where nothing is left to try."},
    "pareto": {
        "what": "Each state you visit is a point: its shape tells what was done, a hollow one was trained, or its batch-norm "
        "measured again. Up and to the left is better; the green line joins what nothing else beats.",
        "source": "Menghani 2021",
    },
    "histogram": {"what": "The weights of one layer, what is removed, and where the quantization levels lie."},
    "layers": {"what": "What is left of each layer. Click a bar to see its weights."},
    "sensitivity": {
        "what": "Each layer alone loses its smallest weights, all others stay as they are: by how many points accuracy changes. "
        "Measured on S_val where there is one, on at most 1,000 images, so that nothing is chosen on S_test. "
        "Triangles: where each layer stands now. Layers together lose more than each alone.",
        "formula": "accuracy(layer pruned alone) - accuracy(dense)",
        "source": "Han et al. 2015; Li et al. 2017",
    },
}
