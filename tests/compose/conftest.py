"""Brings the compose file up once for its tests, and down whatever becomes of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import NoReturn

import pytest

from .demo import Demo

#: Said by `make test-compose`. Without it the tests are skipped: they need containers and minutes.
ASKED_FOR = os.environ.get("STREAMWARDEN_TEST_COMPOSE", "") not in {"", "0"}
FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them where nobody asked for containers."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker("compose")
            if not ASKED_FOR:
                item.add_marker(pytest.mark.skip("needs containers: `make test-compose` runs it"))


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@pytest.fixture(scope="session")
def demo() -> Generator[Demo]:
    """The compose file, up and well; nothing of it is left afterwards."""
    demo = Demo()
    before = signal.signal(signal.SIGTERM, _interrupted)  # so that it is taken down then too
    try:
        demo.up()
        yield demo
    finally:
        demo.down()
        signal.signal(signal.SIGTERM, before)
    assert demo.left() == []
