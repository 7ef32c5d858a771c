"""Accessibility findings of a part of a page, by axe-core (a development dependency of the front end)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

SOURCE = Path(__file__).resolve().parents[2] / "nnwidgets" / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async ([selector, impacts]) => {
  const found = await axe.run(selector, {resultTypes: ['violations']});
  return found.violations.filter(v => impacts.includes(v.impact)); }"""


def findings(page: Page, selector: str, impacts: tuple[str, ...] = ("serious", "critical")) -> list[str]:
    """Return one line for each element with a finding of these impacts: rule, help, the element.

    Needs the ``npm`` fixture first (it installs node_modules where they are missing).
    """
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(SOURCE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate(RUN, [selector, list(impacts)])
    return [f"{v['id']} ({v['impact']}): {v['help']}: {node['html']}" for v in found for node in v["nodes"]]
