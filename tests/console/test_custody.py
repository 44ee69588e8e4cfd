"""The custody commands, as they are typed: results read back, exit codes, what show, get and list then tell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from console.main import akashi
from evidence.errors import AkashiError
from storage.archive import Archive
from storage.embedded import EmbeddedStore
from storage.home import Home
from storage.s3_client import S3Endpoint
from tests.storage.samples import close_capture, kill_server

Run = Callable[..., tuple[int, list[Any], AkashiError | None]]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    server = EmbeddedStore(Home(tmp_path_factory.mktemp("server")).make())
    yield server.start()
    kill_server(server)


@pytest.fixture
def home(endpoint: S3Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HOME": str(tmp_path / "home"),
        "STORE_ENDPOINT": endpoint.url,
        "STORE_ACCESS_KEY": endpoint.access_key,
        "STORE_SECRET_KEY": endpoint.secret_key,
        "STORE_BUCKET": f"test-{tmp_path.name.lower().replace('_', '-')[-40:]}-{id(tmp_path)}",
        "OPERATOR": "Aiko",
    }.items():
        monkeypatch.setenv(f"AKASHI_{name}", value)


@pytest.fixture
def capture(home: None) -> str:
    return close_capture(Archive.open())


@pytest.fixture
def run(home: None) -> Run:
    """A command's exit code, its JSON lines, and the error that `main` would tell."""

    def call(*words: str) -> tuple[int, list[Any], AkashiError | None]:
        done = CliRunner().invoke(akashi, [*words, "--json"], standalone_mode=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if isinstance(done.exception, AkashiError):
            return done.exception.exit_code, lines, done.exception
        assert done.exception is None, done.exception
        return done.return_value, lines, None

    return call


def text(*words: str) -> str:
    done = CliRunner().invoke(akashi, words, standalone_mode=False)
    assert done.exception is None
    return done.output


def test_hold_and_release_tell_what_the_store_then_has(run: Run, capture: str) -> None:
    code, (held,), _ = run("hold", capture[:14], "--reason", "case K-17")
    assert (code, held["capture"], held["type"], held["new"]) == (0, capture, "custody.held", True)
    assert [item["legal_hold"] for item in held["objects"]] == [True, True]
    assert run("hold", capture, "--reason", "again")[1] == [held | {"new": False}]
    (listed,) = run("list")[1]
    assert listed["custody"] == ["held"]
    assert "  held\n" in text("list")
    code, (released,), _ = run("release", capture, "--reason", "closed", "--operator", "Ben")
    assert (code, [item["legal_hold"] for item in released["objects"]]) == (0, [False, False])
    (shown,) = run("show", capture)[1]
    told = [
        (act["type"], act["record"]["actor"]["name"], act["record"]["reason"]) for act in shown["custody"]
    ]
    assert told == [("custody.held", "Aiko", "case K-17"), ("custody.released", "Ben", "closed")]
    assert "Ben (asserted): closed" in text("show", capture)


def test_hold_until_extends_and_never_shortens(run: Run, capture: str) -> None:
    day = (datetime.now(UTC) + timedelta(days=90)).date().isoformat()
    code, (kept,), _ = run("hold", capture, "--until", day, "--reason", "limitation")
    assert (code, kept["type"]) == (0, "custody.retained")
    assert [item["retain_until"] for item in kept["objects"]] == [f"{day}T00:00:00.000Z"] * 2
    before = (datetime.now(UTC) + timedelta(days=80)).date().isoformat()
    code, (told,), _ = run("hold", capture, "--until", before, "--reason", "limitation")
    assert (code, told["error"]) == (6, "custody")
    assert "only made longer" in told["detail"]


def test_what_cannot_be_understood_is_a_usage_error_and_leaves_no_trace(run: Run, capture: str) -> None:
    for words in (
        ("hold", "--reason", " "),
        ("hold", "--until", "tomorrow", "--reason", "r"),
        ("hold", "--until", "2020-01-01", "--reason", "r"),
        ("erase", "--reason", "r"),
        ("transfer", "--to", " ", "--reason", "r"),
    ):
        code, lines, error = run(*words, capture)
        assert (code, lines) == (2, []), words
        assert error is not None
        assert error.next
    assert run("show", capture)[1][0]["custody"] == []


def test_of_several_captures_all_are_tried_and_the_gravest_exit_is_given(run: Run, capture: str) -> None:
    other = close_capture(Archive.open())
    code, lines, _ = run("release", capture, "0", other, "--reason", "r")
    assert (code, [line["error"] for line in lines]) == (6, ["custody", "usage", "custody"])
    code, lines, _ = run("hold", capture, "0", other, "--reason", "r")
    assert (code, [line.get("error") for line in lines]) == (2, [None, "usage", None])


def test_in_quarantine_nothing_is_shown_or_given_and_it_is_said_how_to_clear(
    run: Run, capture: str, tmp_path: Path
) -> None:
    run("quarantine", capture, "--reason", "may be unlawful to show")
    code, (shown,), _ = run("show", capture)
    assert (code, shown["manifest"], shown["marks"]) == (6, None, ["quarantined"])
    assert f"akashi quarantine {capture} --clear" in shown["next"]
    page = text("show", capture)
    assert "短い動画" not in page
    assert "may be unlawful to show" in page
    code, _, error = run("get", capture, "--to", str(tmp_path / "to"))
    assert code == 6
    assert error is not None
    assert "--clear" in error.next
    assert not (tmp_path / "to").exists()
    assert run("quarantine", capture, "--clear", "--reason", "examined")[0] == 0
    assert run("show", capture)[0] == 0


def test_an_erasure_leaves_a_tombstone(run: Run, capture: str, tmp_path: Path) -> None:
    order = ("--authority", "order 12/2026")
    code, (asked,), _ = run("erase", capture, *order, "--reason", "person shown")
    assert (code, asked["type"]) == (0, "custody.erasure-requested")
    code, (told,), _ = run("erase", capture, "--confirm", "--reason", "checked")
    assert (code, told["error"]) == (6, "custody")
    assert "Aiko requested" in told["detail"]
    code, (erased,), _ = run("erase", capture, "--confirm", "--operator", "Ben", "--reason", "checked")
    assert (code, erased["type"]) == (0, "custody.erased")
    code, (shown,), _ = run("show", capture)
    assert (code, shown["manifest"], shown["marks"]) == (0, None, ["erased"])
    page = text("show", capture)
    assert "order 12/2026" in page
    assert "sha256" in page
    assert run("get", capture, "--to", str(tmp_path / "to"))[0] == 6
    (listed,) = run("list")[1]
    assert (listed["custody"], listed["title"]) == (["erased"], "")
    *found, total = run("audit")[1]
    assert (found, total["findings"]) == ([], 0)


def test_a_manifest_that_is_gone_unerased_is_a_failed_check(run: Run, capture: str) -> None:
    archive = Archive.open()
    row = archive.find(capture)
    for version in archive.store.versions(row["manifest"]):
        archive.store.erase(row["manifest"], version)
    code, _, error = run("show", capture)
    assert (code, str(error)) == (1, f"{row['manifest']} is gone")


def test_a_transfer_is_entered_with_its_recipient(run: Run, capture: str) -> None:
    words = ("transfer", capture, "--to", "Ms Sato", "--reason", "request 12")
    assert [run(*words)[1][0]["new"] for _ in range(2)] == [True, False]
    (shown,) = run("show", capture)[1]
    assert [act["record"]["details"] for act in shown["custody"]] == [{"recipient": "Ms Sato"}]
    assert "to Ms Sato" in text("show", capture)
