"""`akashi doctor`: what is missing is named, with what to do about it."""

from __future__ import annotations

import pytest

from console import doctor
from storage.settings import Settings


@pytest.mark.parametrize(
    ("program", "package"),
    [("ffmpeg", "ffmpeg"), ("ffprobe", "ffmpeg"), ("certutil", "libnss3-tools")],
)
def test_a_program_that_is_missing_is_named_with_its_package(monkeypatch, program, package):
    found = doctor.shutil.which
    assert {one.subject: one.state for one in doctor._programs(Settings())}[program] == "ok"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None if name == program else found(name))
    (missing,) = (one for one in doctor._programs(Settings()) if one.subject == program)
    assert (missing.state, missing.text) == ("bad", "is not installed")
    assert package in missing.next
