"""Operations that sum up, normalise, pool or resize along axes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from nnwidgets.engine.pruning.channels._labels import Factors, axes_of, covering
from nnwidgets.engine.pruning.channels._moves import first_of, held
from nnwidgets.engine.pruning.channels._rules import Watch, rule

Args = dict[str, Any]
_NAMES = {"mean": "their mean is taken", "sum": "they are summed up", "_softmax": "a softmax is taken over them"}


@rule("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "std_mean", "linalg_vector_norm", "norm", "argmax")
@rule(
    "argmin",
    "prod",
    "any",
    "all",
    "logsumexp",
    "cumsum",
    "cumprod",
    "_softmax",
    "_log_softmax",
    "sort",
    "topk",
    "median",
    "aminmax",
)
def _reduced(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    name = watch.where()
    words = next((text for key, text in _NAMES.items() if f"({key})" in name), "one result is made of all of them")
    dim = arguments.get("dim")
    axes = range(given.dim()) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    factors = watch.of(given)
    reduced = sorted({int(axis) % max(given.dim(), 1) for axis in axes})
    for axis in reduced:
        stays = results[0].dim() == given.dim() and results[0].shape[axis] == given.shape[axis]
        factors = held(watch, factors, axis, f"{words} in {name}, so that removing some changes the others", stays)
    if results and results[0].dim() < given.dim():
        factors = [f.squeeze(tuple(axis for axis in reduced if axis < f.ndim)) for f in factors]
    return [factors] * len(results)


@rule(
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "miopen_batch_norm",
)
@rule("_batch_norm_no_update", "_batch_norm_with_update", "batch_norm_with_update", "_native_batch_norm_legit_functional")
def _batch_norm(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    factors = watch.of(given)
    main = covering(factors, 1)
    vectors = [watch.of(arguments.get(name)) for name in ("weight", "bias", "running_mean", "running_var")]
    flat = [vector[0].reshape(-1) for vector in vectors if vector]
    if main is not None and main.size != main.shape[1]:
        factors = held(watch, factors, 1, f"they are normalised together in {watch.where()}", stays=True)
        main = None
    for vector in flat:
        if main is None:
            watch.ties.freeze(vector, f"it normalises channels that must all stay in {watch.where()}")
        else:
            watch.ties.tie(main.reshape(-1), vector, "", watch.where())
    return [factors, *[[] for _ in results[1:]]]


@rule("native_layer_norm", "_fused_rms_norm", "rms_norm", "layer_norm")
def _layer_norm(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    shape = arguments["normalized_shape"]
    first = given.dim() - len(shape)
    reason = f"a layer norm takes mean and variance over them in {watch.where()}, so that removing some changes the others"
    factors = watch.of(given)
    for axis in range(first, given.dim()):
        factors = held(watch, factors, axis, reason, stays=True)
    for name in ("weight", "bias"):
        for vector in watch.of(arguments.get(name)):
            watch.ties.freeze(vector, reason)
    return [factors, *[[] for _ in results[1:]]]


@rule("native_group_norm", "group_norm")
def _group_norm(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    given = first_of(arguments)
    reason = f"a group norm takes mean and variance over them in {watch.where()}, so that removing some changes the others"
    factors = watch.of(given)
    for axis in range(1, given.dim()):
        factors = held(watch, factors, axis, reason, stays=True)
    for name in ("weight", "bias"):
        for vector in watch.of(arguments.get(name)):
            watch.ties.freeze(vector, reason)
    return [factors, *[[] for _ in results[1:]]]


@rule("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "max_pool2d")
@rule("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_nearest_exact2d", "_upsample_bilinear2d_aa")
@rule("_upsample_bicubic2d_aa", "grid_sampler_2d", "mkldnn_max_pool2d", "fractional_max_pool2d")
def _two(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    return _spatial(watch, arguments, results, 2)


@rule("avg_pool3d", "max_pool3d_with_indices", "_adaptive_avg_pool3d", "adaptive_max_pool3d", "upsample_nearest3d")
@rule("upsample_trilinear3d", "_upsample_nearest_exact3d")
def _three(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    return _spatial(watch, arguments, results, 3)


@rule("avg_pool1d", "max_pool1d", "_adaptive_avg_pool1d", "adaptive_max_pool1d", "upsample_nearest1d", "upsample_linear1d")
@rule("_upsample_nearest_exact1d")
def _one(watch: Watch, arguments: Args, results: list[Tensor]) -> list[Factors]:
    return _spatial(watch, arguments, results, 1)


def _spatial(watch: Watch, arguments: Args, results: list[Tensor], trailing: int) -> list[Factors]:
    given = first_of(arguments)
    factors: Factors = []
    for factor in watch.of(given):
        if any(axis >= given.dim() - trailing for axis in axes_of(factor)):
            watch.ties.freeze(factor, f"neighbours of them are taken together in {watch.where()}")
        else:
            factors.append(factor)
    return [factors] * len(results)
