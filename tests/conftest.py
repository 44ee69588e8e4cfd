"""What every test may ask for: the local web and its clips, started when first asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.site import Site
from tests.site.clips import Media
from tests.site.clips import media as made_media
from tests.site.timestamping import TimestampAuthority

os.environ["AKASHI_TIMESTAMP_AUTHORITIES"] = ""  # no test asks anybody's but those of its own


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture(scope="session")
def media() -> Media:
    return made_media()


@pytest.fixture(scope="session")
def alpha() -> Iterator[TimestampAuthority]:
    with TimestampAuthority("Alpha") as running:
        yield running


@pytest.fixture(scope="session")
def beta() -> Iterator[TimestampAuthority]:
    """Another operator, whose certificates end within the time in which tokens are renewed."""
    with TimestampAuthority("Beta", days=30) as running:
        yield running


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: side by side (`-n`), none of them is then what all the others wait for."""
    items.sort(key=lambda item: "/end_to_end/" not in item.nodeid)
