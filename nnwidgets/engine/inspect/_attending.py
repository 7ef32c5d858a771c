"""Where in a traced pass attention is computed."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from nnwidgets.engine.trace import Call, Trace

__all__ = ["ATTENTION", "SOFTMAX", "attending_calls"]

SOFTMAX, ATTENTION = "softmax", "scaled_dot_product_attention"
_AXES = (4, 5)  # (B, heads, Q, K), or (B, windows, heads, Q, K); fused attention of one head may do without the second
_NEAR = 6  # calls between a softmax and its product with the values: dropout, a change of type


def attending_calls(traced: Trace, modules: Mapping[str, nn.Module]) -> frozenset[int]:
    """Indices of the calls whose weights `attention_maps` can give.

    They are ``nn.MultiheadAttention``, fused attention, and a softmax over four or five axes whose result is then multiplied with
    something that is no parameter.
    """
    users: dict[int, list[Call]] = {}
    for call in traced.calls:
        for producer in call.producers:
            users.setdefault(producer, []).append(call)
    return frozenset(call.index for call in traced.calls if _attends(call, modules, users))


def _attends(call: Call, modules: Mapping[str, nn.Module], users: Mapping[int, list[Call]]) -> bool:
    if call.is_module and isinstance(modules.get(call.name), nn.MultiheadAttention):
        return True
    axes = call.results[0].axes if call.results else 0
    if call.kind == ATTENTION:
        return axes in (3, *_AXES)
    is_softmax = isinstance(modules.get(call.name), nn.Softmax) if call.is_module else call.kind == SOFTMAX
    return is_softmax and axes in _AXES and _meets_a_product(call, users)


def _meets_a_product(call: Call, users: Mapping[int, list[Call]]) -> bool:
    todo = [(user, 1) for user in users.get(call.index, [])]
    while todo:
        user, steps = todo.pop()
        if user.macs:
            if not user.weights:
                return True
        elif steps < _NEAR:
            todo += [(following, steps + 1) for following in users.get(user.index, [])]
    return False
