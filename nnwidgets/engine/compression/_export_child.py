"""Write the computation of a network as ONNX or by torch.export: run in a process of its own, since torch's compiler stays in
memory (about 200 MB) and takes seconds to load.

The parent gives one pickle of its own on standard input and reads one line of JSON.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nnwidgets.engine.compression._export_rounded import Rounded
from nnwidgets.engine.compression.same_answers import steps_apart

__all__ = ["main", "write_graph"]

_TOLERANCE = 1e-4  # of the largest logit


def main() -> int:
    """Do what standard input says. The line says "error" (with "kind": unreadable, failed, disk) or "notes"."""
    out, sys.stdout = sys.stdout, sys.stderr  # exporters print
    try:
        network, shape, dtype, format, path, rounded = pickle.load(sys.stdin.buffer)
    except Exception as error:  # a class that is only known to the parent raises anything
        answer: dict[str, object] = {"kind": "unreadable", "error": _words(error)}
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # exporters warn of themselves
                answer = {"notes": write_graph(network, shape, dtype, format, path, rounded)}
        except OSError as error:
            answer = {"kind": "disk", "error": _words(error)}
        except Exception as error:  # exporters run anybody's forward pass
            answer = {"kind": "failed", "error": _words(error)}
    out.write(json.dumps(answer) + "\n")
    out.flush()
    return 0


def write_graph(
    network: nn.Module, shape: Sequence[int], dtype: torch.dtype, format: str, path: str, rounded: Rounded | None = None
) -> list[str]:
    """Write a plain network in eval mode on the cpu, with any number of images, check what was written, and return notes.

    ``rounded``: what is written in integers in an ONNX file.

    Raises:
        OSError: the disk. Anything else: the network cannot be exported, or answers something else afterwards.
    """
    generator = torch.Generator().manual_seed(0)
    few, more = (torch.randn((n, *shape), generator=generator).to(dtype) for n in (2, 3))
    with torch.no_grad():
        expected = network(more.clone())  # some write into their input
        program = torch.export.export(network, (few,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False)
        if format == "torch_export":
            _check(program.module()(more.clone()), expected)
            memory = io.BytesIO()
            torch.export.save(program, memory)
            with open(path, "wb") as file:
                file.write(memory.getbuffer())
            return []
        notes = _write_onnx(program, few, more, expected, path)
    return notes if rounded is None else [*notes, *_round(path, rounded)]


def _write_onnx(program: torch.export.ExportedProgram, few: Tensor, more: Tensor, expected: Tensor, path: str) -> list[str]:
    made = torch.onnx.export(
        program, (few,), dynamo=True, external_data=False, verbose=False, input_names=["input"], output_names=["logits"]
    )
    if made is None:
        raise RuntimeError("torch.onnx gave nothing")
    notes: list[str] = []
    try:
        found = made(more.clone())
    except ImportError:
        notes.append("Not run after writing, since onnxruntime is not installed: compare its answers before you rely on it.")
    else:
        _check(found[0], expected)
        made.release()
    made.save(path)
    return notes


def _round(path: str, rounded: Rounded) -> list[str]:
    from nnwidgets.engine.compression._export_pairs import with_pairs

    with_pairs(path, rounded.parts)
    notes = ["Weights and inputs are written as QuantizeLinear and DequantizeLinear pairs of 8 bits, batch-norm folded."]
    try:
        import onnxruntime
    except ImportError:
        return notes
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"input": rounded.images.numpy()})[0])
    apart = steps_apart(rounded.answers, found)
    if apart is not None:
        raise RuntimeError(f"what was written answers something else (off by {apart:.1%} of the largest logit)")
    return notes


def _check(found: Tensor, expected: Tensor) -> None:
    if not isinstance(expected, Tensor):
        raise TypeError(f"it answers {type(expected).__name__}, expected one tensor of logits")
    largest = float(expected.abs().max())
    worst = float((found - expected).abs().max()) if found.shape == expected.shape else float("nan")
    if not worst <= _TOLERANCE * max(largest, 1e-30):
        raise RuntimeError(f"what was written answers something else (off by {worst:g} where logits reach {largest:g})")


def _words(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:400]}"
