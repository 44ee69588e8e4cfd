"""What every test may ask for: the local web and its clips, started when first asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.site import Site
from tests.site.clips import Media
from tests.site.clips import media as made_media


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture(scope="session")
def media() -> Media:
    return made_media()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: side by side (`-n`), none of them is then what all the others wait for."""
    items.sort(key=lambda item: "/end_to_end/" not in item.nodeid)
