"""A whole kernel in a process of its own: what it prints last, as data."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def told_by_kernel(code: str, timeout: float = 1800, **environment: str) -> dict[str, dict[str, float]]:
    """Run a cell in a fresh ipykernel process and return the JSON of its last line."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(
        kernel_name="python3", env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, startup_timeout=120
    )
    told: list[str] = []
    try:
        reply = client.execute_interactive(
            code, timeout=timeout, output_hook=lambda message: told.append(str(message["content"].get("text", "")))
        )
        content: dict[str, Any] = reply["content"]
        if content["status"] != "ok":
            raise RuntimeError("\n".join(content.get("traceback", [content["status"]])))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    found: dict[str, dict[str, float]] = json.loads("".join(told).strip().splitlines()[-1])
    return found
