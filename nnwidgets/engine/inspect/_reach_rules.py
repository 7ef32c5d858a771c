"""How the boxes of a result follow from those of what an operation is given."""

from __future__ import annotations

from dataclasses import replace

from nnwidgets.engine.inspect._reach import Reach, aligned, over
from nnwidgets.engine.inspect._reach_call import Call, Rule, dims_of
from nnwidgets.engine.inspect._reach_moves import MOVES
from nnwidgets.engine.inspect._reach_windows import WINDOWS

__all__ = ["MIXING", "rule_of"]

MIXING = frozenset({"_native_multi_head_attention", "_transformer_encoder_layer_fwd", "gru", "lstm", "mkldnn_rnn_layer"})
"""Operations that are known to join all places."""


def rule_of(name: str, pointwise: bool) -> Rule | None:
    """The rule for an operation, None where there is none."""
    return _pointwise if pointwise else _RULES.get(name)


def _pointwise(call: Call) -> Reach:
    return aligned(call.known(), call.shape)


def _copied(call: Call) -> Reach:
    return aligned([call.one("src")], call.shape)


def _summed(call: Call) -> Reach:
    reach = call.one("self")
    dims = dims_of(call.given.get("dim"), len(reach.shape))
    joined = over(reach, dims)
    if len(call.shape) == len(reach.shape):
        return replace(joined, shape=call.shape)
    left = [size for dim, size in enumerate(joined.planes.shape[1:]) if dim not in dims]
    return replace(joined, planes=joined.planes.reshape(len(joined.planes), *left), shape=call.shape)


def _spread(call: Call) -> Reach:
    """Softmax, sorting, running sums: each value sees all along a dimension."""
    reach = call.one("self")
    return replace(over(reach, dims_of(call.given.get("dim", -1), len(reach.shape))), shape=call.shape)


def _normed(call: Call) -> Reach:
    """Batch-norm by kept statistics is pointwise; other norms see all that they take their statistics of."""
    reach, count = call.one("input"), len(call.shape)
    if "batch_norm" in call.name:
        return over(reach, [dim for dim in range(count) if dim != 1] if call.given.get("training") else [], statistics=True)
    if "normalized_shape" in call.given:
        return over(reach, range(count - len(call.given["normalized_shape"]), count), statistics=True)
    return over(reach, range(1, count), statistics=True)


def _product(call: Call) -> Reach | None:
    """Matrix products: a value sees a row of the first factor and a column of the second, and what is added."""
    names = next(pair for pair in _FACTORS if pair[0] in call.given and pair[1] in call.given)
    parts = []
    for name, dim in zip(names, (-1, -2), strict=True):
        reach = call.reach(call.given[name])
        if reach is not None and len(reach.shape) != len(call.shape):
            return None
        if reach is not None:
            at = len(reach.shape) + dim
            parts.append(replace(over(reach, [at]), shape=(*reach.shape[:at], 1, *reach.shape[at + 1 :])))
    added = call.known("self") if names[0] != "self" else []
    # Not ``aligned`` with both at once: a row is no gate for a column.
    made = aligned(parts[:1], call.shape) if parts else Reach.nowhere(call.shape, call.image)
    for part in parts[1:]:
        made = aligned([made, replace(part, shape=call.shape)], call.shape)
    return aligned([made, *added], call.shape) if added else made


_FACTORS = (("mat1", "mat2"), ("batch1", "batch2"), ("self", "mat2"), ("self", "other"))


def _attention(call: Call) -> Reach:
    """Each place sees its own query, and all keys and values (B, heads, places, width)."""
    query, count = call.one("query"), len(call.shape)
    made = replace(over(query, [count - 1]), shape=call.shape)
    for name in ("key", "value"):
        made = aligned([made, replace(over(call.one(name), [count - 2, count - 1]), shape=call.shape)], call.shape)
    return made


_POINTWISE = """
    _prelu_kernel _to_copy alias clamp clamp_max clamp_min clone contiguous detach dropout hardsigmoid hardswish lift_fresh
    masked_fill native_dropout prelu rrelu_with_noise rsub where
"""
_SUMS = "all amax amin any argmax argmin linalg_vector_norm logsumexp max mean median min norm prod std std_mean sum var var_mean"
_SPREADS = "_log_softmax _safe_softmax _softmax cummax cumprod cumsum log_softmax logcumsumexp softmax sort topk"
_NORMS = """
    _batch_norm_no_update _batch_norm_with_update _fused_rms_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
    cudnn_batch_norm miopen_batch_norm native_batch_norm native_group_norm native_layer_norm
"""
_ATTENTIONS = """
    _scaled_dot_product_cudnn_attention _scaled_dot_product_efficient_attention _scaled_dot_product_flash_attention
    _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_fused_attention_overrideable
"""
_RULES: dict[str, Rule] = {
    **dict.fromkeys(_POINTWISE.split(), _pointwise),
    **dict.fromkeys(_SUMS.split(), _summed),
    **dict.fromkeys(_SPREADS.split(), _spread),
    **dict.fromkeys(_NORMS.split(), _normed),
    **dict.fromkeys(("addmm", "baddbmm", "bmm", "mm"), _product),
    **dict.fromkeys(_ATTENTIONS.split(), _attention),
    **MOVES,
    **WINDOWS,
    "copy": _copied,
}
