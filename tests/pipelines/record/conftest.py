"""What tests of recorded videos ask for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.record.videos import Recorder
from tests.site import Site


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the children's user can walk to; pytest closes its own at every start of a session."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="akashi-video-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def record(folder: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AKASHI_HOME", str(folder / "home"))
    return Recorder(folder, site.log)
