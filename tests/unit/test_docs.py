"""Examples in the documentation are right; those that need a server run in integration/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamwarden.policy.loader import read_directories
from tests.documented import PAGES, ROOT, blocks_of, run_page, servers_of

OFFLINE = [page for page in PAGES if not servers_of(page)]
RUN = ("sh", "python", "yaml", "json", "csv")


@pytest.mark.parametrize("page", PAGES)
def test_every_example_says_what_is_done_with_it(page: str) -> None:
    """So that none is left out by oversight."""
    silent = [str(block) for block in blocks_of(page) if block.language in RUN and not block.said]

    assert silent == []


@pytest.mark.slow
@pytest.mark.parametrize("page", OFFLINE)
def test_pages_without_servers_do_what_they_say(page: str, tmp_path: Path) -> None:
    """Block by block, in one folder, as a reader would; each has something that is tried."""
    assert run_page(page, tmp_path, {}) > 0


def test_the_policy_of_the_readme_gives_no_warning(tmp_path: Path) -> None:
    """It is what people begin with, and the command below it checks it."""
    for block in blocks_of("README.md"):
        if block.said.startswith("file policies/"):
            file = tmp_path / block.said.removeprefix("file ")
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text)

    bundle, problems = read_directories(tmp_path / "policies")

    assert bundle is not None
    assert problems == []


def test_links_between_pages_lead_somewhere() -> None:
    """Of the pages here, to files of the project."""
    broken = [
        f"{page}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
        if not ((ROOT / page).parent / target).exists()
    ]

    assert broken == []
