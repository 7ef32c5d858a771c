"""Changes to new networks: layers put in, taken out or exchanged. Each works on a network of one's own, and returns it."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

__all__ = [
    "activated",
    "dropouts",
    "ends_in_softmax",
    "lacks_activations",
    "saturating",
    "with_dropout",
    "with_relus",
    "without_dropout",
    "without_softmax",
]

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_SATURATING = (nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Hardtanh)
_SOFTMAX = (nn.Softmax, nn.LogSoftmax)
_BENDS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.MaxPool2d, *_SATURATING)


def dropouts(network: nn.Module) -> list[nn.Dropout]:
    """Its layers of dropout."""
    return [each for each in network.modules() if isinstance(each, nn.Dropout)]


def with_dropout(network: nn.Module, p: float) -> nn.Module:
    """Dropout set to p, or put before the last linear layer."""
    there = dropouts(network)
    for each in there:
        each.p = p
    if not there:
        last = [name for name, each in network.named_modules() if isinstance(each, nn.Linear)][-1]
        return _put(network, last, lambda old: nn.Sequential(nn.Dropout(p), old))
    return network


def without_dropout(network: nn.Module) -> nn.Module:
    """Dropout set to zero."""
    for each in dropouts(network):
        each.p = 0.0
    return network


def saturating(network: nn.Module) -> list[str]:
    """Names of its sigmoids and tangents."""
    return [name for name, each in network.named_modules() if isinstance(each, _SATURATING)]


def with_relus(network: nn.Module) -> nn.Module:
    """ReLU in place of sigmoids and tangents, weights drawn as He et al. 2015 do. Draws from the global random state."""
    for name in saturating(network):
        network = _put(network, name, lambda old: nn.ReLU())
    for each in network.modules():
        if isinstance(each, _WEIGHTED):
            nn.init.kaiming_normal_(each.weight, nonlinearity="relu")
            if each.bias is not None:
                nn.init.zeros_(each.bias)
    return network


def ends_in_softmax(network: nn.Module) -> str | None:
    """Name of its last module, if that is a softmax ("" for the network itself)."""
    leaves = [(name, each) for name, each in network.named_modules() if not any(True for _ in each.children())]
    return leaves[-1][0] if leaves and isinstance(leaves[-1][1], _SOFTMAX) else None


def without_softmax(network: nn.Module) -> nn.Module:
    """The last module, a softmax, taken out."""
    name = ends_in_softmax(network)
    return network if not name else _put(network, name, lambda old: nn.Identity())


def lacks_activations(network: nn.Module) -> bool:
    """Whether a sequence of layers has two with weights and nothing between them that bends."""
    return any(_gaps(each) for each in network.modules() if isinstance(each, nn.Sequential))


def activated(network: nn.Module) -> nn.Module:
    """A ReLU behind each layer of a sequence that another one follows without an activation."""
    for name, each in list(network.named_modules()):
        if isinstance(each, nn.Sequential) and _gaps(each):
            gaps = set(_gaps(each))
            layers = [layer for i, old in enumerate(each) for layer in ((old, nn.ReLU()) if i in gaps else (old,))]
            fresh = nn.Sequential(*layers)
            network = fresh if not name else _put(network, name, lambda old, new=fresh: new)  # type: ignore[misc]
    return network


def _gaps(layers: nn.Sequential) -> list[int]:
    """Positions of weighted layers that another one follows with nothing between that bends."""
    found: list[int] = []
    last: int | None = None
    for i, layer in enumerate(layers):
        if isinstance(layer, _BENDS):
            last = None
        elif isinstance(layer, _WEIGHTED):
            if last is not None:
                found.append(last)
            last = i
        elif not isinstance(layer, nn.Flatten | nn.AvgPool2d | nn.Dropout | nn.Identity | nn.BatchNorm1d | nn.BatchNorm2d):
            last = None  # what it does is not known
    return found


def _put(network: nn.Module, name: str, make: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """The module of a name exchanged."""
    if not name:
        return make(network)
    above, _, leaf = name.rpartition(".")
    parent = network.get_submodule(above)
    parent._modules[leaf] = make(network.get_submodule(name))
    return network
