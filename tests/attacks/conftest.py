"""The archive that is attacked, fresh for each attack, and what an auditor knows of it from elsewhere."""

from __future__ import annotations

import pytest

from tests.evidence.archives import Log, MemoryArchive, build


@pytest.fixture
def built() -> tuple[MemoryArchive, Log]:
    return build()


@pytest.fixture
def archive(built: tuple[MemoryArchive, Log]) -> MemoryArchive:
    return built[0]


@pytest.fixture
def log(built: tuple[MemoryArchive, Log]) -> Log:
    return built[1]
