"""One JupyterLab for all browser tests; a Chromium for each file; a page with a clean profile for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import Lab, Notebook, find_browser, start_lab
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = ("--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a browser test."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; skipped without one, but not on a CI machine."""
    path = find_browser()
    if path is None:
        reason = "no chromium or chrome on the PATH, and NNW_CHROMIUM is not set"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The one JupyterLab of the session."""
    with start_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium, ended with the file: playwright's event loop in this thread would disturb tests that need their own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page, 1280 x 900, with nothing kept from other tests."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


@pytest.fixture
def notebook(page: Page, lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """``notebook(*cells)`` writes the cells to a file of the test's name, opens it; its kernel ends with the test."""
    opened: list[Notebook] = []

    def open_cells(*cells: str) -> Notebook:
        name = "".join(c if c.isalnum() else "_" for c in request.node.name)
        opened.append(Notebook.open(page, lab, f"{name}_{len(opened)}.ipynb", cells))
        return opened[-1]

    yield open_cells
    for each in opened:
        each.shut_down()
