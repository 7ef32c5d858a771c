"""What a front end sends to a widget."""

from __future__ import annotations

from typing import Any

__all__ = ["click", "from_front", "moved"]


def from_front(widget: Any, **state: Any) -> None:
    """Traits as a front end writes them."""
    widget._handle_msg({"content": {"data": {"method": "update", "state": state, "buffer_paths": []}}, "buffers": []})


def click(widget: Any, name: str, /, *buffers: bytes, **arguments: Any) -> None:
    """A button, with its binary buffers."""
    content = {"kind": "command", "name": name, "args": arguments}
    widget._handle_msg(
        {"content": {"data": {"method": "custom", "content": content}}, "buffers": [memoryview(b) for b in buffers]}
    )


def moved(widget: Any, **state: Any) -> None:
    """Traits as a front end writes them, and what follows from them."""
    from_front(widget, **state)
    assert widget.wait(60)
