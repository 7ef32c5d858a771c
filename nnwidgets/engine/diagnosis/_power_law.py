"""Power laws through the errors of a learning curve: not one, but as many as fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Laws", "laws_of"]

Floats = npt.NDArray[np.float64]

_FLOORS, _POWERS = np.linspace(0, 1, 41)[:-1], np.linspace(0.05, 1.6, 63)
_USUAL, _SPREAD = 0.35, 0.7  # of the exponent, and by how much its logarithm varies (Hestness et al. 2017: 0.07 to 0.5)
_FLOOR = 8.0  # a is exponential, E / 8 in the mean: no floor unless the errors show one; set on digits and shapes
# How far errors stray from a power law, in shares of E: at the largest size, a halving more below it, a doubling beyond it.
_BENT, _BENT_MORE, _BEYOND = 0.02, 0.03, 0.03
_DRAWS = 4000


@dataclass(frozen=True)
class Laws:
    """Draws of E(n) = a + b n^-c.

    Attributes:
        a, b, c: (D,) each. largest: images in the largest part that was tried. scatter: of networks of one size, as a share of E.
        sampling: (D,) what S_val, being a sample, adds to E, as a share of sqrt(E (1 - E)). chance: (D, 2) standard normal.
    """

    a: Floats
    b: Floats
    c: Floats
    largest: float
    scatter: float
    sampling: Floats
    chance: Floats

    def errors_at(self, n: float, single: bool = False) -> Floats:
        """(D,) E on new images at ``n``; ``single``: of one network each, else of the mean of many."""
        e = self._on_new_images(self.a + self.b * n**-self.c)
        bent = _BEYOND * abs(math.log2(n / self.largest))
        spread = math.hypot(bent, self.scatter if single else 0.0)
        found: Floats = np.clip(e * np.exp(spread * self.chance[:, 0]), 0.0, 1.0)
        return found

    def sizes_for(self, goal: float) -> Floats:
        """(D,) images at which the mean E on new images comes down to ``goal``; infinity where it never does."""
        # E on new images grows with E on S_val: the goal is sent the other way.
        wanted = np.full_like(self.a, goal)
        for _ in range(30):
            wanted = goal - self.sampling * np.sqrt(np.clip(wanted * (1 - wanted), 0, 0.25))
        room = np.maximum(wanted - self.a, 0.0)
        with np.errstate(divide="ignore", over="ignore"):
            sizes = np.where(room > 1e-9, (self.b / np.maximum(room, 1e-12)) ** (1 / self.c), np.inf)
        found: Floats = np.where(sizes > 1e9, np.inf, np.ceil(sizes))
        return found

    def _on_new_images(self, e: Floats) -> Floats:
        e = np.clip(e, 0.0, 1.0)
        found: Floats = np.clip(e + self.sampling * np.sqrt(e * (1 - e)), 0.0, 1.0)
        return found


def laws_of(sizes: Floats, errors: Floats, validation: int) -> Laws:
    """Fit E(n) = a + b n^-c with 0 <= a < E of the largest size, b > 0 and 0.05 <= c <= 1.6.

    For each (a, c) of a grid b follows by weighted least squares; the points of the grid are weighed by exp(-chi^2 / 2), by the
    spread of b, and by what is usual: c about 0.35, and a small unless the errors show a floor. Laws are drawn from that. The
    variance of a size is that of its mean, plus one image of S_val, plus 2 % of E (3 % more for each halving of the sample)
    squared: no curve is a power law far from its end.

    Args:
        sizes: (S,) ascending. errors: (S, R) by seed. validation: images that they were measured on.
    """
    runs = errors.shape[1]
    floor = 0.5 / validation  # none wrong is not none ever
    mean = np.maximum(errors.mean(1), floor)
    scatter = math.sqrt(float(np.mean(errors.var(1, ddof=1) / mean**2)) + 1e-6)
    halvings = np.log2(sizes[-1] / sizes)
    variance = mean**2 * (scatter**2 / runs + (_BENT + _BENT_MORE * halvings) ** 2) + floor**2 / runs
    a = (_FLOORS * mean.min())[:, None, None]
    powers = sizes[None, None, :] ** -_POWERS[None, :, None]
    precision = np.broadcast_to((powers**2 / variance).sum(2), (len(_FLOORS), len(_POWERS)))
    b = ((mean - a) * powers / variance).sum(2) / precision
    left = ((mean - a - b[:, :, None] * powers) ** 2 / variance).sum(2)
    prior = -0.5 * (np.log(_POWERS / _USUAL) / _SPREAD) ** 2 - np.log(_POWERS) - _FLOOR * _FLOORS[:, None]
    weight = -0.5 * left - 0.5 * np.log(precision) + np.log(np.maximum(b, 1e-300)) + prior
    weight = np.exp(weight - weight.max()) * (b > 0)
    draw = np.random.default_rng(0)
    chosen = draw.choice(weight.size, _DRAWS, p=(weight / weight.sum()).ravel())
    which_a, which_c = np.unravel_index(chosen, weight.shape)
    drawn = b[which_a, which_c] + draw.standard_normal(_DRAWS) / np.sqrt(precision[which_a, which_c])
    sampling = draw.standard_normal(_DRAWS) / math.sqrt(validation)
    return Laws(
        _FLOORS[which_a] * float(mean.min()), np.maximum(drawn, 1e-12), _POWERS[which_c], float(sizes[-1]), scatter, sampling,
        draw.standard_normal((_DRAWS, 1)),
    )  # fmt: skip
