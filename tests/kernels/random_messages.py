"""Random messages for the wire: seeded, thousands a second, of every shape that broke something or might."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["ANALYSIS", "LAB", "Vocabulary", "messages"]

CONTROLS = ("sparsity", "structure", "criterion", "allocation", "norm", "weight_bits", "granularity", "symmetric", "sample")
OTHERS = (
    "selected_layer",
    "epochs",
    "learning_rate",
    "gesture",
    "activation_bits",
    "observer",
    "percentile",
    "power_of_two",
    "method",
    "rounding_open",
    "rounding_of",
    "activation_observer",
    "calibration_images",
    "followed",
    "bits_seeds",
)
PRIVATE = ("_esm", "_css", "_exp", "_wire", "_view", "_anywidget_id", "_model_module", "comm", "keys", "layout", "__class__")
TOLD = ("seq", "status", "error", "accuracy", "view", "snapshot_view", "history", "task", "about", "options", "code", "tooltip")
COMMANDS = ("undo", "redo", "reset", "snapshot_save", "snapshot_load", "snapshot_delete", "cancel", "retry", "dismiss", "resync")
WORK = ("fine_tune", "measure_latency", "measure_disk", "figure")
WORDS = ("", "0.5", "weight", "filter", "magnitude", "random", "global", "uniform", "channel", "tensor", "val", "fc1", "update")
ODD = ("\x00", "\ud800", "é" * 50, "<img src=x onerror=alert(1)>", "a" * 20_000, "../../x", "__import__('os')", "'; --", "NaN")
NUMBERS = (0, 1, -1, 0.5, 0.99, 1.0, 2, 4, 4.0, 8, 32, 77, 1e-9, 1e308, -0.0, 10**400, 2**63, math.nan, math.inf, -math.inf)


@dataclass(frozen=True)
class Vocabulary:
    """What a widget knows: traits that are written and told, commands, those that begin long work, their arguments, values."""

    controls: tuple[str, ...]
    others: tuple[str, ...]
    told: tuple[str, ...]
    commands: tuple[str, ...]
    work: tuple[str, ...]
    arguments: tuple[str, ...]
    words: tuple[str, ...]


LAB = Vocabulary(CONTROLS, OTHERS, TOLD, COMMANDS, WORK, ("name", "id", "format", "key", "self"), WORDS)
ANALYSIS = Vocabulary(
    controls=("goal", "selected", "panel", "sample", "order", "pair", "threshold"),
    others=("budget", "seeds"),
    told=("seq", "status", "error", "branch", "e_test", "line", "flow", "detail", "track", "board", "practice", "hidden", "task"),
    commands=(
        "adopt",
        "label",
        "tag",
        "open",
        "guess",
        "end_practice",
        "hall",
        "reveal",
        "save",
        "cancel",
        "retry",
        "dismiss",
        "resync",
    ),
    work=("run_all", "run_test", "run_leaf", "apply", "practice", "measure", "figure"),
    arguments=("id", "tag", "verdict", "test", "leaf", "remedy", "cause", "on", "what", "seed", "self"),
    words=(
        "",
        "labels",
        "start",
        "worst",
        "confusion",
        "val",
        "test",
        "4,9",
        "keep",
        "drop",
        "outputs",
        "decay",
        "track",
        "7",
        "0",
    ),
)


class _Draw(random.Random):
    """Chance, and what it chooses from."""

    vocabulary = LAB


def messages(seed: int, count: int, vocabulary: Vocabulary = LAB) -> Iterator[dict[str, Any]]:
    """What would lie in ``msg["content"]["data"]``, beside the message itself: {"content": ..., "buffers": ...}."""
    draw = _Draw(seed)
    draw.vocabulary = vocabulary
    kinds: list[Callable[[_Draw], Any]] = [_update, _update, _update, _command, _command, _custom, _other, _value]
    for _ in range(count):
        data = draw.choice(kinds)(draw)
        if isinstance(data, dict) and data and draw.random() < 0.1:
            del data[draw.choice(list(data))]
        yield {"content": {"comm_id": "x", "data": data}, "buffers": [b"\x00" * draw.choice((0, 1, 64))] * draw.choice((0, 0, 2))}


def _update(draw: _Draw) -> dict[str, Any]:
    names = [_name(draw) for _ in range(draw.choice((0, 1, 1, 2, 5, 30)))]
    paths = draw.choice(([], [], [["sparsity"]], [["x", 0]], [[]], _value(draw)))
    return {"method": "update", "state": {name: _value(draw) for name in names}, "buffer_paths": paths}


def _command(draw: _Draw) -> dict[str, Any]:
    known = draw.vocabulary
    name = draw.choice(known.work) if draw.random() < 0.01 else draw.choice(known.commands)
    args = {draw.choice((*known.arguments, _name(draw))): _value(draw) for _ in range(draw.choice((0, 0, 1, 2)))}
    content = {"kind": "command", "name": name, "args": args if draw.random() < 0.9 else _value(draw), "id": _value(draw)}
    return {"method": "custom", "content": content}


def _custom(draw: _Draw) -> dict[str, Any]:
    return {"method": "custom", "content": draw.choice((_value(draw), {"kind": _value(draw), "name": _value(draw)}))}


def _other(draw: _Draw) -> dict[str, Any]:
    method = draw.choice(("request_state", "echo_update", "update", "custom", "close", "", None, _value(draw)))
    return {"method": method, "state": _value(draw), "content": _value(draw)}


def _name(draw: _Draw) -> str:
    known = draw.vocabulary
    group = draw.choices((known.controls, known.others, PRIVATE, known.told, known.words, ODD), (8, 4, 2, 2, 1, 1))[0]
    return draw.choice(group)


def _value(draw: _Draw, depth: int = 0) -> Any:
    kind = draw.random()
    if kind < 0.35:
        return draw.choice(NUMBERS)
    if kind < 0.45:
        return draw.random()
    if kind < 0.65:
        return draw.choice(draw.vocabulary.words)
    if kind < 0.7:
        return draw.choice(ODD)
    if kind < 0.8 or depth > 3:
        return draw.choice((True, False, None))
    if kind < 0.805:
        return _deep(draw)
    if kind < 0.807:
        return [draw.random() for _ in range(20_000)]
    size = draw.choice((0, 1, 2, 5))
    if kind < 0.9:
        return [_value(draw, depth + 1) for _ in range(size)]
    return {
        _name(draw) if draw.random() < 0.5 else draw.choice(("fc1", "fc2", "fc3")): _value(draw, depth + 1) for _ in range(size)
    }


def _deep(draw: _Draw) -> Any:
    """Nested deeper than a comparison can follow, not deeper than JSON is read."""
    value: Any = draw.random()
    for level in range(draw.choice((50, 400))):
        value = [value] if level % 2 else {"a": value}
    return value
