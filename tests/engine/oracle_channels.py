"""Hand-written networks with channels that hang together in every way, and the slow obvious twin of their groups.

The twin knows no graph. It changes what makes a unit at random: with all that reads the unit at zero the answer must not change,
and with any one of the readers left as it was it must.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.pruning.channels import Bundle, ChannelGroups


def stirred(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights as initialised, but no statistic, bias, scale or weight that is trivial; eval mode."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for name, tensor in module._buffers.items():
                if tensor is None:
                    continue
                if name == "running_mean":
                    tensor.copy_(0.3 * torch.randn(tensor.shape, generator=draw))
                elif name == "running_var":
                    tensor.copy_(0.5 + torch.rand(tensor.shape, generator=draw))
            for name, parameter in module._parameters.items():
                if parameter is None or not parameter.is_floating_point():
                    continue
                if parameter.dim() == 1 or parameter.numel() == max(parameter.shape):
                    low = -0.3 if name.endswith("bias") else 0.5
                    parameter.copy_(low + torch.rand(parameter.shape, generator=draw) * (0.6 if low < 0 else 1.0))
                elif float(parameter.std()) < 0.01:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draw))
    return model.eval()


def random_kept(groups: ChannelGroups, share: float, seed: int = 0) -> dict[str, np.ndarray]:
    """A share of the units of each bundle goes, one at least stays."""
    draw = np.random.default_rng(seed)
    kept = {}
    for bundle in groups.bundles:
        flags = np.ones(bundle.n, dtype=bool)
        flags[draw.permutation(bundle.n)[: min(bundle.n - 1, round(share * bundle.n))]] = False
        kept[bundle.name] = flags
    return kept


def wrong_units(model: nn.Module, bundle: Bundle, unit: int, x: Tensor, needed: bool = True) -> Iterator[str]:
    """The slow twin: yield what is wrong with one unit of a bundle of a plain network; see above."""
    makers = [m for m in bundle.members if m.role in ("out", "bias", "norm")]
    readers = [(m, int(i)) for m in bundle.members if m.role == "in" for i in np.flatnonzero(m.index == unit)]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def answer(blind: list[int], noisy: int = 0) -> Tensor:
        model.load_state_dict(state)
        draw = torch.Generator().manual_seed(noisy)
        with torch.no_grad():
            for member in makers if noisy else ():
                parameter = model.get_submodule(member.module_name)._parameters.get(member.attribute)
                if parameter is not None:
                    at = torch.from_numpy(np.flatnonzero(member.index == unit))
                    part = parameter.index_select(member.axis, at)
                    parameter.index_copy_(member.axis, at, 3 * torch.randn(part.shape, generator=draw))
            for number in blind:
                member, index = readers[number]
                parameter = model.get_submodule(member.module_name)._parameters[member.attribute]
                parameter.select(member.axis, index).zero_()
            return model(x).double()

    everything = list(range(len(readers)))
    if not torch.equal(answer(everything), answer(everything, 1)):
        yield f"unit {unit} of {bundle.name} is read by more than {bundle.consumers}"
    for number in everything if needed else ():
        rest = [other for other in everything if other != number]
        if all(torch.equal(answer(rest), answer(rest, noise)) for noise in (1, 2, 3)):
            yield f"unit {unit} of {bundle.name} is not read by {readers[number][0].name}[{readers[number][1]}]"
    model.load_state_dict(state)


class Functional(nn.Module):
    """Functions only, in-place ones too."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.a(x))
        y = torch.sigmoid(self.b(x))
        y += x
        return self.fc(F.max_pool2d(y, 2).flatten(1))


class UNet(nn.Module):
    """Down, up by a transposed convolution, and joined with what was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 10, 3, 2, 1)
        self.norm = nn.BatchNorm2d(10)
        self.up = nn.ConvTranspose2d(10, 5, 2, 2)
        self.last, self.fc = nn.Conv2d(11, 4, 3, padding=1), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        first = F.relu(self.down1(x))
        second = F.silu(self.norm(self.down2(first)))
        joined = torch.cat([F.relu(self.up(second)), first], 1)
        return self.fc(F.relu(self.last(joined)).mean((2, 3)))


class Depthwise(nn.Module):
    """A depthwise convolution with two outputs a channel."""

    def __init__(self, times: int = 2) -> None:
        super().__init__()
        self.a, self.deep = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6 * times, 3, padding=1, groups=6)
        self.norm, self.b, self.fc = nn.BatchNorm2d(6 * times), nn.Conv2d(6 * times, 5, 1), nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.b(F.relu6(self.norm(self.deep(F.relu(self.a(x))))))).mean((2, 3)))


class Grouped(nn.Module):
    """Grouped convolutions with a shuffle between them, as in ShuffleNet v1."""

    def __init__(self, own_shuffle: bool = True) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 8, 3, padding=1, groups=2), nn.Conv2d(8, 12, 1, groups=2)
        self.fc = nn.Linear(12, 10)
        self.shuffle = None if own_shuffle else nn.ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.b(F.relu(self.a(x))))
        if self.shuffle is None:
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        else:
            x = self.shuffle(x)
        return self.fc(F.relu(self.c(x)).mean((2, 3)))


class Transposed(nn.Module):
    """Transposed convolutions: grouped, and channel by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 1), nn.ConvTranspose2d(8, 12, 2, 2, groups=2)
        self.c, self.fc = nn.ConvTranspose2d(12, 12, 2, 2, groups=12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.c(F.relu(self.b(F.relu(self.a(x)))))).mean((2, 3)))


class SqueezeExcite(nn.Module):
    """Channels scaled by what two linear layers make of their means; then a scale of its own and a PReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.down, self.up = nn.Conv2d(3, 8, 3), nn.Linear(8, 4), nn.Linear(4, 8)
        self.scale, self.act, self.fc = nn.Parameter(torch.ones(8, 1, 1)), nn.PReLU(8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        s = torch.sigmoid(self.up(F.silu(self.down(x.mean((2, 3))))))
        return self.fc(self.act(self.scale * x * s[:, :, None, None]).amax((2, 3)))


class Attention(nn.Module):
    """Tokens of a vector net (no norm over channels), own attention in several spellings.

    Args:
        style: "head_dim" (sizes of a head are fixed), "width" (computed from the width of the tokens: heads cannot go), "fused"
            (torch's function), "separate" (three layers), "normed" (a norm over the values of a head).
    """

    def __init__(self, style: str = "head_dim", heads: int = 4, width: int = 16) -> None:
        super().__init__()
        self.style, self.num_heads, self.head_dim = style, heads, width // heads
        self.patch = nn.Conv2d(3, width, 4, 4)
        if style == "separate":
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        else:
            self.qkv = nn.Linear(width, 3 * width)
        if style == "normed":
            self.norm = nn.LayerNorm(width // heads)
        self.proj, self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, 24), nn.Linear(24, width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.attend(x)
        x = x + self.fc2(F.gelu(self.fc1(x)))
        return self.head(x.mean(1))

    def attend(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        size = c // self.num_heads if self.style == "width" else self.head_dim
        if self.style == "separate":
            q, k, v = (layer(x).view(b, n, self.num_heads, size).transpose(1, 2) for layer in (self.q, self.k, self.v))
        elif self.style == "fused":
            q, k, v = (part.view(b, n, self.num_heads, size).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        else:
            q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, size).permute(2, 0, 3, 1, 4).unbind(0)
        if self.style == "normed":
            q, k = self.norm(q), self.norm(k)
        if self.style == "fused":
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = (q * size**-0.5 @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(b, n, -1))


class Tokens(nn.Module):
    """torch's own attention between tokens, without a norm or with those of its encoder layer."""

    def __init__(self, encoder: bool = False, width: int = 12, **options: object) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.encoder = nn.TransformerEncoderLayer(width, 3, 20, batch_first=True) if encoder else None
        self.attention = None if encoder else nn.MultiheadAttention(width, 3, **options)  # type: ignore[arg-type]
        self.batch_first = bool(options.get("batch_first"))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        if self.encoder is not None:
            x = self.encoder(x)
        elif self.batch_first:
            x = x + self.attention(x, x, x)[0]
        else:
            y = x.transpose(0, 1)
            x = x + self.attention(y, y, y, need_weights=False)[0].transpose(0, 1)
        return self.head(x.mean(1))


class Shared(nn.Module):
    """A module called twice, and two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.twice, self.b, self.c = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 6), nn.Linear(6, 6)
        self.c.weight = self.b.weight
        self.fc = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(F.relu(self.twice(F.relu(self.a(x))))).mean((2, 3))
        return self.fc(F.relu(self.c(F.relu(self.b(F.relu(x))))))


class Fixed(nn.Module):
    """LeNet's usual forward, with a size in its code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 20), nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv2(F.max_pool2d(F.relu(self.conv1(x)), 2))), 2)
        return self.fc2(F.relu(self.fc1(x.view(-1, 400))))


class Recurrent(nn.Module):
    """A convolution before an LSTM, a linear layer behind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm, self.fc, self.out = (
            nn.Conv2d(3, 6, 4, 4),
            nn.LSTM(6, 5, batch_first=True),
            nn.Linear(5, 7),
            nn.Linear(7, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.lstm(F.relu(self.conv(x)).flatten(2).transpose(1, 2))
        return self.out(F.relu(self.fc(x[:, -1])))


class Answers(nn.Module):
    """Several answers: a dict, or a tuple."""

    def __init__(self, as_dict: bool = True) -> None:
        super().__init__()
        self.as_dict = as_dict
        self.a, self.b, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 3), nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Mapping[str, Tensor] | tuple[Tensor, ...]:
        middle = F.relu(self.a(x))
        features = F.relu(self.b(middle)).mean((2, 3))
        out = self.fc(features)
        return {"logits": out, "features": features} if self.as_dict else (out, middle.amax((2, 3)))


class Unknown(nn.Module):
    """An operation between the layers that nothing is known of."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 1), nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.b(F.relu(self.a(x))))
        return self.fc(torch.cumulative_trapezoid(torch.fft.fft(x, dim=1).real, dim=2).mean((2, 3)))


class Written(nn.Module):
    """Channels written into a part of another tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 5, 1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.b(F.relu(self.a(x)))).mean((2, 3))
        wide = x.new_zeros(len(x), 8)
        wide[:, :5] = x
        return self.fc(wide)


class Sliced(nn.Module):
    """Channels cut with fixed bounds, uneven (4 and 6) or in halves."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.a, self.b, self.c, self.fc = nn.Conv2d(3, 10, 1), nn.Conv2d(at, 5, 1), nn.Conv2d(10 - at, 5, 1), nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        return self.fc(F.relu(self.b(x[:, : self.at]) + self.c(x[:, self.at :])).mean((2, 3)))


class PixelShuffle(nn.Module):
    """Channels that become places."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 24, 1), nn.Conv2d(6, 5, 3), nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.b(F.relu(F.pixel_shuffle(self.a(x), 2)))).mean((2, 3)))


def components_by_search(n: int, a: list[int], b: list[int]) -> list[int]:
    """The smallest number that each of 0 ... n-1 can be reached from, by walking."""
    near: list[set[int]] = [set() for _ in range(n)]
    for one, other in zip(a, b, strict=True):
        near[one].add(other)
        near[other].add(one)
    found = [-1] * n
    for start in range(n):
        todo = [start] if found[start] < 0 else []
        while todo:
            at = todo.pop()
            if found[at] < 0:
                found[at] = start
                todo += near[at]
    return found


def reshaped_in_full(factor: np.ndarray, old: tuple[int, ...], new: tuple[int, ...]) -> np.ndarray:
    """A view of labels that are written out for each place."""
    return np.broadcast_to(factor, old).reshape(new)
