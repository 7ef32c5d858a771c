"""The computation of a network written by another process, so that this one neither loads torch's compiler nor waits for it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from nnwidgets.engine.compression._export_rounded import Rounded
from nnwidgets.engine.errors import FileError, NnwError, UnsupportedError
from nnwidgets.engine.trace import portable_graph

__all__ = ["write_graph_elsewhere"]

_LOOK_SECONDS = 0.01
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from nnwidgets.engine.compression._export_child import main; raise SystemExit(main())"
)


def write_graph_elsewhere(
    network: nn.Module,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    kind: str,
    spare: str,
    target: Path,
    rounded: Rounded | None = None,
) -> Generator[str, None, list[str]]:
    """Write a plain network in eval mode on the cpu to the empty file ``spare``, yield while that lasts, and return notes.

    Args:
        rounded: what is written in integers.

    Raises:
        UnsupportedError: the network cannot be exported. FileError: ``target`` cannot be written.
    """
    why = "this Python cannot start another process"
    if sys.executable:
        why = "its class is known to this process alone and its forward pass has no graph"
        for portable in _portable(network, shape, dtype):
            answer = yield from _in_child((portable, shape, dtype, kind, spare, rounded))
            if answer.get("kind") != "unreadable":
                return _notes_of(answer, kind, spare, target)
            why = f"its parts cannot be sent to another process ({answer['error']})"
    yield "exporting here"
    from nnwidgets.engine.compression._export_child import write_graph

    try:
        notes = write_graph(network, shape, dtype, kind, spare, rounded)
    except (OSError, NnwError):
        raise
    except Exception as error:  # exporters run anybody's forward pass
        raise _unexportable(f"{type(error).__name__}: {str(error)[:400]}", kind) from error
    here = (
        f"Made in this process, which took about 200 MB of memory that stays: {why}. Define the class in a module to avoid that."
    )
    return [*notes, here]


def _portable(network: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> Iterator[nn.Module]:
    """What another process may be able to read: the network itself, unless it is of a notebook, then its graph."""
    if not any(type(module).__module__ == "__main__" for module in network.modules()):
        yield network
    graph = _graph_of(network, shape, dtype)
    if graph is not None:
        yield graph


def _graph_of(network: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> nn.Module | None:
    """The network as a graph of torch's own layers that answers the same, None where it has none."""
    images = torch.randn((3, *shape), generator=torch.Generator().manual_seed(0)).to(dtype)
    try:
        with torch.no_grad():
            graph = portable_graph(network).eval()
            same = torch.equal(graph(images.clone()), network(images.clone()))  # some write into their input
            return graph if same else None
    except Exception:  # anybody's forward pass; what it lacks is told where it is exported
        return None


def _in_child(job: tuple[Any, ...]) -> Generator[str, None, dict[str, Any]]:
    """Run the export in a new process; ``kind`` "unreadable" in the answer says that the job cannot be sent."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        try:
            pickle.dump(job, given)
        except Exception as error:  # parts of a network raise whatever they like
            return {"kind": "unreadable", "error": f"{type(error).__name__}: {str(error)[:200]}"}
        given.seek(0)
        command = [sys.executable, "-c", _BOOT, json.dumps([part for part in sys.path if isinstance(part, str)])]
        process = subprocess.Popen(command, stdin=given, stdout=answer, stderr=said)
        try:
            while process.poll() is None:
                yield "exporting"
                time.sleep(_LOOK_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        return _answer(process.returncode, answer, said)


def _answer(code: int, answer: IO[bytes], said: IO[bytes]) -> dict[str, Any]:
    answer.seek(0)
    text = answer.read().decode(errors="replace")
    if code == 0 and text.strip():
        found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
        return found
    said.seek(0)
    last = (said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    return {"kind": "failed", "error": f"the other process ended with {code}: {last[:300]}"}


def _notes_of(answer: dict[str, Any], kind: str, spare: str, target: Path) -> list[str]:
    if "notes" in answer and os.path.getsize(spare):
        return list(answer["notes"])
    if "notes" in answer:
        raise _unexportable("nothing was written", kind)
    if answer["kind"] == "disk":
        raise FileError(f"{target} cannot be written: {answer['error']}. Is the folder writable, and is there room?")
    raise _unexportable(str(answer["error"]), kind)


def _unexportable(why: str, kind: str) -> UnsupportedError:
    return UnsupportedError(
        f"The network cannot be written as format={kind!r}: {why.rstrip('. ')}. Look at that part of its forward pass and at "
        "input_shape, or use format='state_dict'."
    )
