"""Blocks of well-known networks, each in a few lines: what can be removed, and that it can be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from oracle_channels import random_kept, stirred
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.compression._materialize import masked, shrink
from nnwidgets.engine.compression.same_answers import check_same
from nnwidgets.engine.pruning.channels import channel_groups

SHAPE = (3, 8, 8)


class Net(nn.Module):
    """A forward function with layers."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def conv(inside: int, outside: int, side: int = 1, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, side, padding=side // 2, **options)


def pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def c2f(s: Net, x: Tensor) -> Tensor:
    parts = list(F.relu(s.a(x)).chunk(2, 1))
    parts.append(F.relu(s.b(parts[-1])))
    parts.append(F.relu(s.c(parts[-1])))
    return s.fc(pooled(F.relu(s.d(torch.cat(parts, 1)))))


def res2(s: Net, x: Tensor) -> Tensor:
    parts = torch.split(F.relu(s.a(x)), 4, 1)
    first = F.relu(s.b(parts[1]))
    return s.fc(pooled(s.d(torch.cat([parts[0], first, F.relu(s.c(parts[2] + first))], 1))))


def selective_kernels(s: Net, x: Tensor) -> Tensor:
    a, b = F.relu(s.a(x)), F.relu(s.b(x))
    z = F.relu(s.z(pooled(a + b)))
    weights = torch.stack([s.wa(z), s.wb(z)], 1).softmax(1)
    return s.fc(pooled(F.relu(s.c((torch.stack([a, b], 1) * weights[..., None, None]).sum(1)))))


def channel_attention(s: Net, x: Tensor) -> Tensor:
    x = F.relu(s.a(x))
    y = s.e(pooled(x)[:, None]).sigmoid()[:, 0]
    return s.fc(pooled(F.relu(s.b(x * y[..., None, None]))))


def coordinates(s: Net, x: Tensor) -> Tensor:
    x = F.relu(s.a(x))
    rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).permute(0, 1, 3, 2)
    y = F.relu(s.n(s.b(torch.cat([rows, columns], 2))))
    rows, columns = torch.split(y, [x.shape[2], x.shape[3]], 2)
    return s.fc(pooled(x * s.h(rows).sigmoid() * s.w(columns.permute(0, 1, 3, 2)).sigmoid()))


def ghost(s: Net, x: Tensor) -> Tensor:
    x = F.relu(s.a(x))
    return s.fc(pooled(F.relu(s.c(torch.cat([x, F.relu(s.b(x))], 1)[:, :12]))))


def mixer(s: Net, x: Tensor) -> Tensor:
    x = s.p(x).flatten(2).transpose(1, 2)
    x = x + s.t2(F.gelu(s.t1(x.transpose(1, 2)))).transpose(1, 2)
    return s.fc((x + s.c2(F.gelu(s.c1(x)))).mean(1))


def standardised(s: Net, x: Tensor) -> Tensor:
    w = s.a.weight
    w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True) + 1e-3)
    return s.fc(pooled(F.relu(s.b(F.relu(F.conv2d(x, w, s.a.bias))))))


def non_local(s: Net, x: Tensor) -> Tensor:
    x = F.relu(s.a(x))
    t, p, g = (layer(x).flatten(2) for layer in (s.t, s.p, s.g))
    y = (t.transpose(1, 2) @ p).softmax(-1) @ g.transpose(1, 2)
    return s.fc(pooled(x + s.o(y.transpose(1, 2).reshape(len(x), -1, *x.shape[2:]))))


def normalized(s: Net, x: Tensor) -> Tensor:
    return s.fc(F.normalize(pooled(F.relu(s.b(F.relu(s.a(x))))), dim=1))


def einsum(s: Net, x: Tensor) -> Tensor:
    return s.fc(torch.einsum("bchw,dc->bdhw", F.relu(s.a(x)), s.m).amax((2, 3)))


def maxout_by_views(s: Net, x: Tensor) -> Tensor:
    x = s.a(x)
    return s.fc(pooled(F.relu(s.b(x.view(len(x), -1, 2, *x.shape[2:]).amax(2)))))


def maxout_by_steps(s: Net, x: Tensor) -> Tensor:
    x = s.a(x)
    return s.fc(pooled(F.relu(s.b(torch.maximum(x[:, ::2], x[:, 1::2])))))


def gram(s: Net, x: Tensor) -> Tensor:
    x = F.relu(s.a(x)).flatten(2)
    return s.fc((x @ x.mT).flatten(1))


def loop(s: Net, x: Tensor) -> Tensor:
    x = F.relu(s.a(x))
    for _ in range(3):
        x = x + F.relu(s.b(x)) * 0.5
    return s.fc(pooled(x))


def joined_twice(s: Net, x: Tensor) -> Tensor:
    x = F.relu(s.a(x))
    return s.fc(torch.cat([pooled(x), pooled(F.relu(s.b(x))), pooled(x)], 1))


def response_norm(s: Net, x: Tensor) -> Tensor:
    return s.fc(pooled(F.relu(s.b(F.local_response_norm(F.relu(s.a(x)), 2)))))


def normed(s: Net, x: Tensor) -> Tensor:
    return s.fc(pooled(F.relu(s.b(F.interpolate(s.n(s.a(x)), scale_factor=2.0)))))


def flat_norm(s: Net, x: Tensor) -> Tensor:
    return s.fc(F.relu(s.n(F.relu(s.a(x)).flatten(1))))


def sequence(s: Net, x: Tensor) -> Tensor:
    return s.fc(F.relu(s.b(F.relu(s.a(x.flatten(2))))).mean(2))


def mixed_weights(s: Net, x: Tensor) -> Tensor:
    w = (s.r(pooled(x)).softmax(1)[0][:, None, None, None, None] * s.w).sum(0)
    return s.fc(pooled(F.relu(s.b(F.relu(F.conv2d(x, w))))))


def linear(inside: int, outside: int = 5) -> nn.Linear:
    return nn.Linear(inside, outside)


# The layers of each, its bundles as "units makers > readers", and what is refused beside the last layer.
BLOCKS: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "C2f (YOLOv8)": (
        lambda: Net(c2f, a=conv(3, 8), b=conv(4, 4, 3), c=conv(4, 4, 3), d=conv(16, 6), fc=linear(6)),
        "4 a > b+d; 4 b > c+d; 4 c > d; 6 d > fc",
        "",
    ),
    "Res2Net, parts of a fixed size": (
        lambda: Net(res2, a=conv(3, 12), b=conv(4, 4, 3), c=conv(4, 4, 3), d=conv(12, 6), fc=linear(6)),
        "4 c > d; 6 d > fc",
        "a b",
    ),
    "SKNet": (
        lambda: Net(
            selective_kernels,
            a=conv(3, 8, 3),
            b=conv(3, 8),
            z=linear(8, 4),
            wa=linear(4, 8),
            wb=linear(4, 8),
            c=conv(8, 6),
            fc=linear(6),
        ),
        "8 a+b+wa+wb > z+c; 4 z > wa+wb; 6 c > fc",
        "",
    ),
    "ECA": (
        lambda: Net(channel_attention, a=conv(3, 8), e=nn.Conv1d(1, 1, 3, padding=1), b=conv(8, 6), fc=linear(6)),
        "6 b > fc",
        "a e",
    ),
    "coordinate attention": (
        lambda: Net(coordinates, a=conv(3, 8), b=conv(8, 4), n=nn.BatchNorm2d(4), h=conv(4, 8), w=conv(4, 8), fc=linear(8)),
        "8 a+h+w > b+fc; 4 b > h+w",
        "",
    ),
    "GhostNet": (
        lambda: Net(ghost, a=conv(3, 6), b=conv(6, 6, 3, groups=6), c=conv(12, 6), fc=linear(6)),
        "6 a+b > c; 6 c > fc",
        "",
    ),
    "MLP-Mixer": (
        lambda: Net(
            mixer, p=nn.Conv2d(3, 8, 4, 4), t1=linear(4, 7), t2=linear(7, 4), c1=linear(8, 12), c2=linear(12, 8), fc=linear(8)
        ),
        "8 p+c2 > c1+fc; 7 t1 > t2; 12 c1 > c2",
        "t2",
    ),
    "standardised weights": (lambda: Net(standardised, a=conv(3, 6, 3), b=conv(6, 6), fc=linear(6)), "6 a > b; 6 b > fc", ""),
    "non-local": (
        lambda: Net(non_local, a=conv(3, 8), t=conv(8, 4), p=conv(8, 4), g=conv(8, 4), o=conv(4, 8), fc=linear(8)),
        "8 a+o > t+p+g+fc; 4 t+p > ; 4 g > o",
        "",
    ),
    "normalised features": (lambda: Net(normalized, a=conv(3, 6), b=conv(6, 6), fc=linear(6)), "6 a > b", "b"),
    "einsum with a bare parameter": (
        lambda: Net(einsum, a=conv(3, 6), m=nn.Parameter(torch.randn(4, 6)), fc=linear(4)),
        "6 a > ",
        "",
    ),
    "maxout by views": (lambda: Net(maxout_by_views, a=conv(3, 12), b=conv(6, 6), fc=linear(6)), "6 a > b; 6 b > fc", ""),
    "maxout by steps": (lambda: Net(maxout_by_steps, a=conv(3, 12), b=conv(6, 6), fc=linear(6)), "6 b > fc", "a"),
    "Gram matrix": (lambda: Net(gram, a=conv(3, 6), fc=linear(36)), "", "a"),
    "a loop over one layer": (lambda: Net(loop, a=conv(3, 6), b=conv(6, 6), fc=linear(6)), "6 a+b > b+fc", ""),
    "joined twice": (lambda: Net(joined_twice, a=conv(3, 6), b=conv(6, 4), fc=linear(16)), "6 a > b+fc; 4 b > fc", ""),
    "local response norm": (lambda: Net(response_norm, a=conv(3, 6), b=conv(6, 4), fc=linear(4)), "4 b > fc", "a"),
    "instance norm": (
        lambda: Net(normed, a=conv(3, 6), n=nn.InstanceNorm2d(6, affine=True), b=conv(6, 4), fc=linear(4)),
        "6 a > b; 4 b > fc",
        "",
    ),
    "instance norm without weights": (
        lambda: Net(normed, a=conv(3, 6), n=nn.InstanceNorm2d(6), b=conv(6, 4), fc=linear(4)),
        "6 a > b; 4 b > fc",
        "",
    ),
    "group norm": (lambda: Net(normed, a=conv(3, 6), n=nn.GroupNorm(2, 6), b=conv(6, 4), fc=linear(4)), "4 b > fc", "a"),
    "batch norm of places": (lambda: Net(flat_norm, a=conv(3, 6), n=nn.BatchNorm1d(384), fc=linear(384)), "6 a > fc", ""),
    "one axis": (
        lambda: Net(sequence, a=nn.Conv1d(3, 6, 3), b=nn.Conv1d(6, 4, 3, groups=2), fc=linear(4)),
        "3 a > b; 2 b > fc",
        "",
    ),
    "conditional weights": (
        lambda: Net(mixed_weights, r=linear(3, 2), w=nn.Parameter(torch.randn(2, 6, 3, 1, 1)), b=conv(6, 4), fc=linear(4)),
        "4 b > fc",
        "r",
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks(name: str) -> None:
    torch.manual_seed(0)
    make, bundles, refused = BLOCKS[name]
    model = stirred(make())
    groups = channel_groups(model, SHAPE)
    got = [f"{b.n} {'+'.join(b.producers)} > {'+'.join(b.consumers)}" for b in groups.bundles]
    assert "; ".join(got) == bundles
    assert set(groups.refused) == {"fc", *refused.split()} and all(groups.refused.values())
    for share in (0.3, 0.6, 0.9):
        kept = random_kept(groups, share)
        assert check_same(masked(model, groups, kept), shrink(model, groups, kept), SHAPE) <= 1e-5
