"""The machine that something was measured on."""

from __future__ import annotations

import platform
from pathlib import Path

__all__ = ["integer_units", "processor"]

_UNITS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")


def processor() -> str:
    """The name of the processor."""
    return _fields().get("model name") or platform.processor() or platform.machine()


def integer_units() -> tuple[str, ...]:
    """Its instruction sets for many numbers at once, as Linux names them; () where that is not told."""
    flags = set(_fields().get("flags", "").split())
    return tuple(unit for unit in _UNITS if unit in flags)


def _fields() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return {}
    pairs = [line.split(":", 1) for line in text.splitlines() if ":" in line]
    return {key.strip(): value.strip() for key, value in pairs}
