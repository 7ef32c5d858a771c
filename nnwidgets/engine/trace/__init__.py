"""What a network is made of and what one forward pass calls."""

from __future__ import annotations

from nnwidgets.engine.trace._fingerprint import fingerprint, quick_fingerprint
from nnwidgets.engine.trace._graph import portable_graph
from nnwidgets.engine.trace._layers import layers
from nnwidgets.engine.trace._modes import operations, unattended
from nnwidgets.engine.trace._plain import plain_copy
from nnwidgets.engine.trace._tensors import tensors_in
from nnwidgets.engine.trace._trace import check_one_input, checked_shape, trace
from nnwidgets.engine.trace._visits import unvisited_copy, visited
from nnwidgets.engine.trace._watch import watching
from nnwidgets.engine.trace.records import INPUT, Call, Entry, Result, Trace
from nnwidgets.engine.trace.state import preserved, preserved_buffers, preserved_rng, restore_rng, rng_states, same_rng
from nnwidgets.engine.trace.suffix import Point, Resumable, resumable, resuming, whole
from nnwidgets.engine.trace.weights import WeightLayer, skipped_weights, weight_layers, weight_of

__all__ = [
    "INPUT",
    "Call",
    "Entry",
    "Point",
    "Result",
    "Resumable",
    "Trace",
    "WeightLayer",
    "check_one_input",
    "checked_shape",
    "fingerprint",
    "layers",
    "operations",
    "plain_copy",
    "portable_graph",
    "preserved",
    "preserved_buffers",
    "preserved_rng",
    "quick_fingerprint",
    "restore_rng",
    "resumable",
    "resuming",
    "rng_states",
    "same_rng",
    "skipped_weights",
    "tensors_in",
    "trace",
    "unattended",
    "unvisited_copy",
    "visited",
    "watching",
    "weight_layers",
    "weight_of",
    "whole",
]
