"""The table of a network's layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from nnwidgets.engine.trace._trace import trace

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["layers"]


def layers(model: nn.Module, input_shape: Sequence[int]) -> pd.DataFrame:
    """Return one row for each call of a layer, and of a function outside the layers, in order of execution.

    Views and copies are left out. Containers have no row: their layers have.

    Args:
        input_shape: of one sample, e.g. (3, 224, 224); it never includes the batch.

    Returns:
        Columns: name (dotted; a function has its name in brackets after that of its module: "layer1.0.(add)"), call (0, 1, ...
        where a name is called again; (name, call) is unique), kind (class or function), input_shape and output_shape (of the
        first tensor, without the batch), params (those that no earlier row has used, so that the column adds up), macs
        (multiply-accumulates of one sample) and share (of all macs, in [0, 1]).

    Raises:
        InputError, ModelError, UnsupportedError: as `trace` does.
    """
    import pandas as pd  # 30 MB that a lab never needs

    found = trace(model, input_shape)
    total = found.macs
    rows = [
        {
            "name": call.name,
            "call": call.call,
            "kind": call.kind,
            "input_shape": call.input_shape,
            "output_shape": call.output_shape,
            "params": call.params,
            "macs": call.macs,
            "share": call.macs / total if total else 0.0,
        }
        for call in found.calls
        if not call.moves
    ]
    return pd.DataFrame(rows, columns=["name", "call", "kind", "input_shape", "output_shape", "params", "macs", "share"])
