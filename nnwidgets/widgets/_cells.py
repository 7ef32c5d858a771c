"""Which cell made a widget: running the cell again retires the widgets that its earlier run made."""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["current_run", "retire_earlier_run"]

_made: dict[str, tuple[str, list[weakref.ref[Any]]]] = {}  # cell id -> (run id, widgets of that run)


def current_run() -> tuple[str, str] | None:
    """(cell id, id of this run of it), or None outside a notebook cell whose front end names its cells."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else None
    if not isinstance(parent, dict) or parent.get("msg_type", parent.get("header", {}).get("msg_type")) != "execute_request":
        return None
    cell = parent.get("metadata", {}).get("cellId")
    run = parent.get("header", {}).get("msg_id")
    return (cell, run) if isinstance(cell, str) and isinstance(run, str) else None


def retire_earlier_run(widget: Any) -> None:
    """Close the widgets that an earlier run of the current cell made, and remember this one."""
    found = current_run()
    if found is None:
        return
    cell, run = found
    last_run, widgets = _made.get(cell, (run, []))
    if last_run != run:
        for reference in widgets:
            older = reference()
            if older is not None:
                older.close()
        widgets = []
    _made[cell] = (run, [*widgets, weakref.ref(widget)])
