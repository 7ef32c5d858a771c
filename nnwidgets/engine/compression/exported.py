"""What `export` wrote, and the lines of code that read it without this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

__all__ = ["ExportFormat", "Exported", "lines_to_load"]


class ExportFormat(str, Enum):
    """Kinds of files.

    state_dict (``torch.save``) and safetensors hold the numbers alone, onnx and torch_export the whole computation with its
    numbers, packed the numbers in as few bytes as `cost` says.
    """

    STATE_DICT = "state_dict"
    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    TORCH_EXPORT = "torch_export"
    PACKED = "packed"


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: as given. format: see `ExportFormat`. bytes: size of the file.
        load: lines of Python that read it; they need only torch, safetensors or onnxruntime (packed: this package).
        notes: what the file does not hold, or how it was made.
    """

    path: str
    format: str
    bytes: int
    load: str
    notes: tuple[str, ...] = ()


# The names in braces are filled in. YourNetwork stands for the class of the network, which such a file does not hold.
_LINES: Mapping[str, str] = MappingProxyType(
    {
        "state_dict": """\
import torch

model = YourNetwork()  # build the network as before, from your own code
model.load_state_dict(torch.load({path}, weights_only=True))
model.eval()""",
        "safetensors": """\
from safetensors.torch import load_file

model = YourNetwork()  # build the network as before, from your own code
model.load_state_dict(load_file({path}))
model.eval()""",
        "onnx": """\
import onnxruntime

session = onnxruntime.InferenceSession({path}, providers=["CPUExecutionProvider"])
logits = session.run(None, {{"input": images}})[0]  # images: {dtype} array (B, {shape}), prepared as in training""",
        "torch_export": """\
import torch

model = torch.export.load({path}).module()
logits = model(images)  # images: {dtype} tensor (B, {shape}), prepared as in training""",
        "packed": """\
from nnwidgets import engine as E

model = YourNetwork()  # build the network as before, from your own code
E.load_packed({path}, model)
model.eval()""",
    }
)


def lines_to_load(format: str, path: str, shape: Sequence[int] = (), dtype: str = "float32") -> str:
    """Return the code that reads a file; ``shape`` and ``dtype`` are of one sample."""
    return _LINES[format].format(path=repr(path), shape=", ".join(map(str, shape)), dtype=dtype)
