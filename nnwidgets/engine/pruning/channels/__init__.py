"""STUB"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Member:
    module_name: str
    attribute: str
    axis: int
    index: np.ndarray
    role: str
    why: str


@dataclass(frozen=True, eq=False)
class Bundle:
    name: str
    structure: str
    n: int
    members: tuple[Member, ...]
    producers: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChannelGroups:
    bundles: tuple[Bundle, ...]
    refused: Mapping[str, str]

    def explain(self, layer):
        return ()


def channel_groups(model, input_shape) -> ChannelGroups:
    return ChannelGroups((), {})
