"""Any torchvision network by name, with its pretrained weights where they can be had."""

from __future__ import annotations

import difflib
import os
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from nnwidgets.engine.errors import FileError, InputError
from nnwidgets.engine.files import read_pickled, read_tensors
from nnwidgets.engine.trace import preserved_rng, tensors_in

__all__ = ["NamedNet", "torchvision_net", "torchvision_or_random"]

_LARGEST = 4_000_000_000  # bytes of a weights file that is still read
_PATIENCE = 5.0  # seconds to wait for the first answer of the machine that has the weights
_PARTICULAR = ("googlenet", "inception_v3")  # their pretrained form is not quite that without weights


@dataclass(frozen=True)
class NamedNet:
    """A network with a word on its weights.

    Attributes:
        network: in eval mode. weights: what they are, such as "random weights"; random: True for those. why: they are random.
    """

    network: nn.Module
    weights: str
    random: bool = False
    why: str = ""


def torchvision_net(name: str, weights: str | Path | None = "DEFAULT") -> nn.Module:
    """A torchvision classifier of images in eval mode.

    Args:
        name: as in torchvision, such as "vgg16" or "resnet18".
        weights: "DEFAULT" (torchvision's pretrained weights, downloaded at the first use), None (random), or a local file of a
            state dict: ``.safetensors``, or ``.pt`` / ``.pth`` read with ``weights_only=True`` (a pickle that carries code is
            refused).

    Raises:
        InputError: torchvision has no such classifier. FileError: the weights cannot be downloaded or read, or are of another
        network.
    """
    _check_known(name)
    if weights == "DEFAULT":
        try:
            return _pretrained(name)
        except (OSError, EOFError, RuntimeError, UnpicklingError) as error:  # the last three: a damaged file, another hash
            raise FileError(
                f"the weights of {name} cannot be downloaded or read ({error}); with a network, try again; without one, pass "
                "weights=path to a state dict that you downloaded before, or weights=None for random weights."
            ) from error
    if weights is None:
        return _built(name).eval()
    try:
        return _filled(name, _read(Path(weights)))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise FileError(f"{weights} does not hold the weights of {name}: {str(error)[:300]}") from error


def torchvision_or_random(name: str, weights: str | Path | None = None) -> NamedNet:
    """A torchvision classifier with trained weights where they can be had, else with random ones, always the same.

    Args:
        weights: a local file as for `torchvision_net`; None for the one that the environment variable ``NNW_<NAME>_WEIGHTS``
            names, such as NNW_VGG16_WEIGHTS. Without either: torchvision's, if they are on this machine or its server answers.

    Raises:
        InputError: torchvision has no such classifier. FileError: the local file cannot be read, or is of another network.
    """
    variable = f"NNW_{str(name).upper()}_WEIGHTS"
    given = weights if weights is not None else os.environ.get(variable)
    if given:
        return NamedNet(torchvision_net(name, given), f"weights of {Path(given).name}")
    _check_known(name)
    why = f"its trained weights are not on this machine and cannot be downloaded; give a file of them as weights= or {variable}"
    if _can_be_had(name):
        try:
            return NamedNet(torchvision_net(name), "ImageNet weights")
        except FileError as error:
            why = str(error)
    with preserved_rng():
        torch.manual_seed(0)
        return NamedNet(torchvision_net(name, None), "random weights", True, why)


def _check_known(name: str) -> None:
    from torchvision import models

    known = models.list_models(module=models)  # classifiers; detectors would fetch weights even where none are asked for
    if name not in known:
        near = difflib.get_close_matches(str(name), known, 3, 0.4)
        raise InputError(
            f"torchvision has no classifier {name!r}"
            + (
                f"; did you mean {' or '.join(near)}?"
                if near
                else "; see torchvision.models.list_models(module=torchvision.models)."
            )
        )


def _pretrained(name: str) -> nn.Module:
    """With torchvision's weights, filled in without holding them twice where that works."""
    from torchvision import models

    wanted: Any = models.get_model_weights(name).DEFAULT
    if name not in _PARTICULAR:
        state = wanted.get_state_dict(progress=False, check_hash=True)
        try:
            return _filled(name, state)
        except RuntimeError:  # trained in another form than the usual one, such as for larger images
            pass
    network: nn.Module = models.get_model(name, weights=wanted)
    return network.eval()


def _built(name: str) -> nn.Module:
    from torchvision import models

    network: nn.Module = models.get_model(name, weights=None, **({"init_weights": False} if name in _PARTICULAR else {}))
    return network


def _filled(name: str, state: dict[str, Tensor]) -> nn.Module:
    """A network that holds these very tensors: built without numbers first, as far as that works, as VGG16 has 550 MB of them.

    Raises:
        RuntimeError: they are of another network.
    """
    with torch.device("meta"):
        network = _built(name)
    own = network.state_dict()
    state = {key: value.to(own[key].dtype) if key in own else value for key, value in state.items()}
    network.load_state_dict(state, assign=True)
    if any(
        tensor.is_meta
        for module in network.modules()
        for tensor in tensors_in([vars(module), module._parameters, module._buffers])
    ):
        network = _built(name)  # some numbers are no part of a state
        network.load_state_dict(state)
    return network.eval()


def _can_be_had(name: str) -> bool:
    """Whether torchvision's weights are on this machine already, or the machine that has them answers."""
    from torchvision import models

    url = models.get_model_weights(name).DEFAULT.url
    if (Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name).is_file():
        return True
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_PATIENCE):
            return True
    except (OSError, HTTPException, ValueError):
        return False


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors that have nothing to do with the file any more."""
    if path.suffix == ".safetensors":
        return {name: value.clone() for name, value in read_tensors(path, _LARGEST)[0].items()}
    return read_pickled(path, _LARGEST, mapped=False)
