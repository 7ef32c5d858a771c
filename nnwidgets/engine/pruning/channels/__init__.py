"""Which channels, neurons and heads of a network can be removed, with all that belongs to them."""

from __future__ import annotations

from nnwidgets.engine.pruning.channels._channel_groups import channel_groups
from nnwidgets.engine.pruning.channels._smaller import checked_kept, left_indexes, smaller
from nnwidgets.engine.pruning.channels.records import Bundle, ChannelGroups, Member

__all__ = ["Bundle", "ChannelGroups", "Member", "channel_groups", "checked_kept", "left_indexes", "smaller"]
