"""The smallest network that still meets a goal: families of recipes, searched within a time budget."""

from __future__ import annotations

from nnwidgets.engine.search._find import find_smallest, search_steps
from nnwidgets.engine.search._merits import MERITS
from nnwidgets.engine.search.records import SearchPoint, SearchResult, SearchStep

__all__ = [
    "MERITS",
    "SearchPoint",
    "SearchResult",
    "SearchStep",
    "find_smallest",
    "search_steps",
]
