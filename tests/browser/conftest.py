"""A Chromium for the run, and pages in it that remember what went wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

__all__ = ["Open", "Opened"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass
class Opened:
    """A page, what it wrote to its console, and what it asked of the network besides itself."""

    page: Page
    complaints: list[str] = field(default_factory=list[str])
    requests: list[str] = field(default_factory=list[str])


Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """A Chromium without a window, shared by a module.

    Not by the run: while it is there, an event loop counts as running in this thread.
    """
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("there is no Chromium: install the package `chromium`")
    # Its sandbox needs rights that containers lack; it opens nothing but our own files.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Open a file as a page, in a window of that size; settings are those of a browser context."""
    with ExitStack() as stack:

        def opened(path: Path, width: int = 1200, height: int = 900, **settings: Any) -> Opened:
            return stack.enter_context(_opened(chromium, path, width, height, settings))

        yield opened


@contextmanager
def _opened(
    chromium: Browser, path: Path, width: int, height: int, settings: dict[str, Any]
) -> Generator[Opened]:
    context = chromium.new_context(viewport={"width": width, "height": height}, **settings)
    try:
        found = Opened(context.new_page())

        def said(message: ConsoleMessage) -> None:
            found.complaints.append(message.text)

        def asked(request: Request) -> None:
            if request.url != path.as_uri() and not request.url.startswith("data:"):
                found.requests.append(request.url)

        found.page.on("console", said)
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("request", asked)
        found.page.goto(path.as_uri())
        yield found
    finally:
        context.close()
