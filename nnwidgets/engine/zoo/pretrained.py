"""Any torchvision network by name, with its pretrained weights where they can be had."""

from __future__ import annotations

import difflib
from pathlib import Path

import torch
from torch import nn

from nnwidgets.engine.errors import FileError, InputError
from nnwidgets.engine.files import read_pickled, read_tensors

__all__ = ["torchvision_net"]

_LARGEST = 4_000_000_000  # bytes of a weights file that is still read


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
    quiet = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network: nn.Module
    if weights == "DEFAULT":
        try:
            network = models.get_model(name, weights="DEFAULT")
        except OSError as error:
            raise FileError(
                f"the weights of {name} cannot be downloaded ({error}); with a network, try again; without one, pass "
                "weights=path to a state dict that you downloaded before, or weights=None for random weights."
            ) from error
        return network.eval()
    network = models.get_model(name, weights=None, **quiet)
    if weights is None:
        return network.eval()
    try:
        network.load_state_dict(_read(Path(weights)))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise FileError(f"{weights} does not hold the weights of {name}: {str(error)[:300]}") from error
    return network.eval()


def _read(path: Path) -> dict[str, torch.Tensor]:
    return read_tensors(path, _LARGEST)[0] if path.suffix == ".safetensors" else read_pickled(path, _LARGEST)
