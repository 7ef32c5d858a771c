"""QuantizeLinear and DequantizeLinear around the layers of an ONNX file: what stands between them is done in integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.compression._export_rounded import Part
from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.quantization import Bytes

__all__ = ["with_pairs"]

_PRODUCTS = ("Conv", "Gemm")
_MOST = 2**31 - 1
_FINE = 1e-3  # of the largest bias: what rounding it may change


def with_pairs(path: str, parts: dict[str, Part]) -> None:
    """Rewrite a file: inputs of layers as uint8, weights as int8 with a step a channel, biases as int32 where that is fine.

    Raises:
        UnsupportedError: a layer is not in the file under its own name.
    """
    import onnx

    model = onnx.load(path)
    writer = _Writer(onnx, model.graph, parts)
    nodes = [each for node in model.graph.node for each in writer.replaced(node)]
    lost = [name for name in parts if name not in writer.done]
    if lost:
        raise UnsupportedError(
            f"what goes into {', '.join(lost[:5])} is rounded, and in ONNX these are no convolution or linear layer of their own"
        )
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    kept = {name for node in nodes for name in node.input}
    values = [each for each in model.graph.initializer if each.name in kept]
    del model.graph.initializer[:]
    model.graph.initializer.extend(values)
    del model.graph.value_info[:]  # shapes of values that are gone
    onnx.checker.check_model(model)
    onnx.save(model, path)


class _Writer:
    def __init__(self, onnx: Any, graph: Any, parts: dict[str, Part]) -> None:
        self._node, self._numbers = onnx.helper.make_node, onnx.numpy_helper
        self._graph, self._parts = graph, parts
        self._values = {each.name: each for each in graph.initializer}
        self._made: dict[Any, str] = {}
        self.done: set[str] = set()

    def replaced(self, node: Any) -> list[Any]:
        """What stands in the place of a node."""
        weight = node.input[1] if node.op_type in _PRODUCTS and len(node.input) > 1 else ""
        module, _, attribute = weight.rpartition(".")
        part = self._parts.get(module) if attribute == "weight" else None
        if part is None or weight not in self._values:
            return [node]
        if node.op_type == "Gemm" and not any(each.name == "transB" and each.i == 1 for each in node.attribute):
            return [node]
        self.done.add(module)
        nodes: list[Any] = []
        node.input[0] = self._rounded(node.input[0], part.grid, nodes)
        if part.codes is not None and part.steps is not None:
            steps = part.steps
            node.input[1] = self._held(f"{weight}_codes", part.codes, steps, nodes)
            if len(node.input) > 2 and node.input[2] in self._values:
                step = steps.astype(np.float64) * part.grid.scale
                bias = self._numbers.to_array(self._values[node.input[2]]).astype(np.float64)
                counts = np.rint(bias / step)
                fine = step.max(initial=0) / 2 <= _FINE * np.abs(bias).max(initial=0)  # few bits make coarse sums
                if fine and np.abs(counts).max(initial=0) <= _MOST:
                    node.input[2] = self._held(f"{module}.bias_codes", counts.astype(np.int32), step.astype(np.float32), nodes)
        return [*nodes, node]

    def _rounded(self, name: str, grid: Bytes, nodes: list[Any]) -> str:
        """A value after rounding; readers with the same grid share it."""
        key = (name, grid)
        if key not in self._made:
            tag = f"{name}_rounded_{len(self._made)}"
            source = name
            if grid.most < 255:  # bytes hold more than these bits do
                ends = [(-grid.zero) * grid.scale, (grid.most - grid.zero) * grid.scale]
                low, high = (self._constant(f"{tag}_{i}", np.float32(end)) for i, end in enumerate(ends))
                nodes.append(self._node("Clip", [source, low, high], [f"{tag}_clipped"]))
                source = f"{tag}_clipped"
            step = [self._constant(f"{tag}_scale", np.float32(grid.scale)), self._constant(f"{tag}_zero", np.uint8(grid.zero))]
            nodes.append(self._node("QuantizeLinear", [source, *step], [f"{tag}_codes"]))
            nodes.append(self._node("DequantizeLinear", [f"{tag}_codes", *step], [tag]))
            self._made[key] = tag
        return self._made[key]

    def _held(self, name: str, codes: npt.NDArray[Any], steps: npt.NDArray[Any], nodes: list[Any]) -> str:
        """Numbers made of integers when they are read."""
        if name not in self._made:
            held, step = self._constant(name, codes), self._constant(f"{name}_steps", steps.astype(np.float32))
            zeros = self._constant(f"{name}_zeros", np.zeros(len(steps), codes.dtype))
            nodes.append(self._node("DequantizeLinear", [held, step, zeros], [f"{name}_floats"], axis=0))
            self._made[name] = f"{name}_floats"
        return self._made[name]

    def _constant(self, name: str, value: Any) -> str:
        self._graph.initializer.append(self._numbers.from_array(np.asarray(value), name))
        return name
