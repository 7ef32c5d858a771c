"""Words of the layer explorer: choices with what they do, formula and source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnwidgets.widgets._lab_text import choice

__all__ = ["HELP", "OPTIONS"]

OPTIONS: Mapping[str, list[dict[str, Any]]] = {
    "view": [
        choice(
            "filters",
            "Filters",
            "The weights of the layer: one tile a filter. In colour where it sees three input channels; zero is mid-grey.",
        ),
        choice("maps", "Maps", "What each channel of the layer gives for this image, all on one scale."),
        choice(
            "attention",
            "Attention",
            "Which token looks at which, for each head: rows are queries and add up to 1.",
            "softmax(QKᵀ/√d)",
            "Vaswani et al. 2017",
        ),
        choice(
            "histogram",
            "Histogram",
            "Outputs of the layer over a sample: how they are spread, which channels are dead, saturated or sparse.",
        ),
        choice(
            "deconvnet",
            "Deconvnet",
            "One unit taken back to pixels: what in the image made it fire. Beside it the same with two other rules.",
            "backwards through pooling switches, max(0, ·) at each ReLU, transposed filters",
            "Zeiler and Fergus 2014; Springenberg et al. 2015",
        ),
        choice(
            "top9",
            "Top 9",
            "The nine images of the sample that make the channel fire most: the patch it sees, its projection, the image.",
            source="Zeiler and Fergus 2014",
        ),
        choice(
            "training", "Training", "Weights and the size of their updates, step by step, while a copy of the network is trained."
        ),
    ],
    "order": [
        choice("index", "channel", "As stored."),
        choice("mean", "mean", "Largest mean over this image first."),
        choice("variance", "variance", "Largest variance over this image first."),
        choice("maximum", "maximum", "Strongest single position of this image first."),
        choice(
            "selectivity",
            "class selectivity",
            "Channels that fire for one class alone first. Needs the histogram's pass over a sample.",
            "(μ_max - μ_rest) / (μ_max + μ_rest)",
            "Morcos et al. 2018",
        ),
    ],
    "scale": [
        choice("layer", "one scale", "All tiles on one scale: bright is bright, whichever the channel."),
        choice("tile", "each its own", "Each tile from its own smallest to its own largest value: weak channels become visible."),
    ],
    "sample": [
        choice("val", "S_val", "Held out of S_train: looking at it costs nothing when you report on S_test."),
        choice("test", "S_test", "What you look at here, you have seen: do not choose by it what you report on it."),
        choice("train", "S_train", "What the network was trained on."),
    ],
    "pick": [
        choice("index", "in order", "All images as stored."),
        choice("class", "of a class", "Images of one class."),
        choice("worst", "worst errors", "Smallest margin first.", "logit of the label - the largest other logit"),
    ],
}

HELP: Mapping[str, dict[str, str]] = {
    "layer": {
        "what": "Every layer, and every function between layers, in the order in which they are run; a layer that is called "
        "again has a row for each call. Shapes are without the batch; MACs are multiply-accumulates for one image."
    },
    "channel": {"what": "The unit at the right. Arrow keys in the tiles move it, o switches it off and on."},
    "view": {"what": "What is shown of the chosen layer."},
    "image_index": {"what": "Which image of the chosen ones."},
    "sample": {"what": "Where images come from, and what statistics and accuracy are measured on."},
    "input_channel": {"what": "Filters with more than three input channels have a slice for each of them; -1 shows their mean."},
    "position": {
        "what": "The place in the map that is taken back to pixels: the strongest one, or the one you click.",
    },
    "zoom": {"what": "Shows of the image and of the projections only the part that this place can see."},
    "compare": {
        "what": "Beside the network as it is, the same layer of the present recipe (pruned, quantized, fine-tuned), on the same "
        "scale, and the difference. It follows the compression lab's slider."
    },
    "dead": {
        "what": "A channel is dead where it gives one constant for every image and place of the sample.",
        "formula": "max = min",
    },
    "saturated": {"what": "Share of outputs within one per cent of a bound: of ReLU6, sigmoid or tanh."},
    "field": {"what": "The receptive field: pixels outside it cannot change the unit.", "source": "Araujo et al. 2019"},
    "epochs": {"what": "Passes over S_train of the copy that is trained here."},
    "learning_rate": {"what": "Step size of Adam for the copy that is trained here."},
    "fresh": {"what": "Begin with new random weights, or with the network's present ones."},
    "ratio": {
        "what": "Size of an update beside that of the weights it changes. About a thousandth is a rule of thumb for a good rate.",
        "formula": "‖Δw‖ / ‖w‖",
        "source": "Karpathy, CS231n notes",
    },
}
