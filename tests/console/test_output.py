"""Times, sizes and errors as people read them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from console.output import both_times, complain, human_size
from evidence.errors import UsageError


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (5_320_000, "5.3 MB"), (4_000_000_000_000, "4000.0 GB")],
)
def test_sizes_are_in_powers_of_ten(size, text):
    assert human_size(size) == text


def test_a_time_is_told_locally_and_as_recorded():
    text = both_times("2026-11-23T08:13:00.123Z")
    assert text.endswith("(2026-11-23T08:13:00.123Z)")
    assert text.startswith("2026-11-2")


def test_an_error_is_one_line_and_its_next_step(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["akashi"])
    complain(UsageError("no URL was given", next="akashi capture URL"))
    assert capsys.readouterr().err == "akashi: no URL was given\n  next: akashi capture URL\n"


def test_an_error_is_json_when_json_was_asked_for(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["akashi", "--json"])
    complain(UsageError("no URL", next="give one"))
    assert capsys.readouterr().out == '{"error": "usage", "detail": "no URL", "next": "give one"}\n'


def test_a_reader_that_goes_away_is_no_failed_check(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = (sys.executable, "-m", "console.main", "ledger", "sign", "--key-only")
    environment = {"PATH": os.defpath, "AKASHI_HOME": str(tmp_path)}
    with os.fdopen(write, "wb") as nobody:
        done = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, env=environment, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("home", ["/dev/null/home", "/proc/home"])
def test_a_path_that_cannot_be_is_a_matter_of_configuration_and_no_failed_check(home):
    command = (sys.executable, "-m", "console.main", "ledger", "sign", "--key-only")
    environment = {"PATH": os.defpath, "AKASHI_HOME": home}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, home in done.stderr) == (2, True)
