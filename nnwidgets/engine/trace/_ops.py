"""What a torch function or aten operation is called and does, from its name and schema."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from nnwidgets.engine.trace._tensors import tensors_in

__all__ = ["is_allocation", "is_movement", "name_of", "writes_to"]

_COPIES = frozenset(
    f"aten::{name}"
    for name in ("_unsafe_view", "_reshape_alias", "_reshape_copy", "_to_copy", "clone", "copy_", "unsafe_split", "unsafe_chunk")
) | {"aten::lift_fresh", "aten::lift_fresh_copy"}


def name_of(function: Any) -> str:
    """Return the plain name of a torch function, method, property or aten operation: "add" for ``x + y`` and ``x += y``."""
    schema = getattr(function, "_schema", None)
    name = schema.name.split("::")[-1] if schema is not None else getattr(function, "__name__", type(function).__name__)
    if name in ("__get__", "__set__"):  # a property, such as x.T
        return str(getattr(function.__self__, "__name__", "property"))
    if name.startswith("__") and name.endswith("__"):
        plain = name.strip("_")
        return plain[1:] if plain[:1] in "ir" and plain[1:] in _OPERATORS else plain
    return str(name).strip("_") or str(name)


# In-place and reflected forms: __iadd__, __radd__.
_OPERATORS = frozenset(
    ["add", "and", "div", "floordiv", "lshift", "matmul", "mod", "mul", "or", "pow", "rshift", "sub", "truediv", "xor"]
)


@functools.lru_cache(maxsize=4096)
def is_movement(op: Any) -> bool:
    """True for operations that compute nothing: views, copies, and allocations."""
    schema = op._schema
    views = [r for r in schema.returns if r.alias_info is not None and not r.alias_info.is_write]
    has_tensor = any("Tensor" in str(argument.type) for argument in schema.arguments)
    return bool(views) or schema.name in _COPIES or not has_tensor


def is_allocation(op: Any) -> bool:
    """True for operations that take a tensor only for its shape, so that their result does not depend on its numbers."""
    name = str(op._schema.name).removeprefix("aten::")
    return name.startswith("new_") or name.endswith("_like")


def writes_to(op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    """Yield the tensors that an operation writes into."""
    for place, name in _written(op):
        yield from tensors_in(args[place] if place < len(args) else kwargs.get(name))


@functools.lru_cache(maxsize=4096)
def _written(op: Any) -> tuple[tuple[int, str], ...]:
    return tuple(
        (place, argument.name)
        for place, argument in enumerate(op._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
