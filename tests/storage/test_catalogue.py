"""The catalogue finds captures, in Japanese too, and can be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from evidence.digests import digest_bytes
from evidence.dsse import sign
from evidence.errors import ManifestError, UsageError
from evidence.identifiers import new_ulid
from storage.catalogue import Catalogue
from storage.home import Home
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.s3 import S3Store
from tests.storage.samples import REQUEST, manifest


@pytest.fixture
def catalogue(home: Home) -> Iterator[Catalogue]:
    opened = Catalogue(home)
    yield opened
    opened.close()


@pytest.fixture
def filled(catalogue: Catalogue) -> Catalogue:
    facts: list[dict[str, str]] = [
        {
            "title": "ドラゴンボールの新作動画",
            "uploader": "星屑ラボ",
            "case": "K-1",
            "platform": "www.youtube.com",
        },
        {"title": '100% "Zen_do" Café', "note": "証拠", "platform": "m.youtube.com"},
        {
            "title": "Other",
            "url": "https://other.example/?q=a%20b",
            "platform": "other.example",
            "case": "K-1",
        },
    ]
    for number, fact in enumerate(facts):
        started = f"2026-11-2{number}T08:00:00.000Z"
        catalogue.add(manifest(started=started, **fact), 10 + number)
    return catalogue


def found(rows: list[dict[str, Any]]) -> list[int]:
    return [row["entry"] - 10 for row in rows]


@pytest.mark.parametrize(
    ("query", "entries"),
    [
        ("", [0, 1, 2]), ("ドラゴン", [0]), ("動画", [0]), ("画", [0]), ("ﾄﾞﾗｺﾞﾝ", [0]), ("星屑", [0]), ("証", [1]),
        ("zen_DO", [1]), ("zenxdo", []), ('"zen', [1]), ("0%", [1]), ("100%", [1]), ("CAFÉ", [1]), ("%", [1, 2]),
        ("q=a%20b", [2]), ("video.example", [0, 1]), ("TH", [2]), ("OTHER", [2]), ("ドラ 動画", []), ("*", []),
    ],
)  # fmt: skip
def test_a_query_is_found_as_a_piece_of_text(filled: Catalogue, query: str, entries: list[int]) -> None:
    assert found(filled.search(query)) == entries


def test_filters_narrow_what_is_found(filled: Catalogue) -> None:
    assert found(filled.search(case="K-1")) == [0, 2]
    assert found(filled.search("Other", case="K-1")) == [2]
    assert found(filled.search(case="K")) == []
    assert found(filled.search(platform="youtube.com")) == [0, 1]
    assert found(filled.search(platform="tube.com")) == []
    assert found(filled.search(since="2026-11-21")) == [1, 2]
    assert found(filled.search(since="2026-11-21T17:00+09:00")) == [1, 2]
    assert found(filled.search(since="2026-11-21T17:01+09:00")) == [2]
    with pytest.raises(UsageError, match="'yesterday' is no time"):
        filled.search(since="yesterday")


def test_a_row_says_where_a_capture_lies(catalogue: Catalogue) -> None:
    id = new_ulid()  # noqa: A001 - the manifest's own name
    catalogue.add(manifest(id, title="t", reasons=("no-video",), outcome="partial"), 7)
    catalogue.add(manifest(id, title="t", reasons=("no-video",), outcome="partial"), 7)
    (row,) = catalogue.starting_with(id[:12].lower())
    assert (row["capture"], row["entry"], row["outcome"], row["reasons"]) == (id, 7, "partial", ["no-video"])
    assert row["manifest"] == f"captures/2026/11/23/{id}/manifest.json"
    assert row["bytes"] == len(b"a warc")
    assert catalogue.starting_with("0") == [row] if id.startswith("0") else True
    assert catalogue.starting_with("%") == []


def test_a_url_is_captured_unless_it_failed_and_an_interrupted_attempt_is_named(catalogue: Catalogue) -> None:
    url, dead = "https://video.example/dead", new_ulid()
    assert not catalogue.is_captured(url)
    catalogue.add(manifest(dead, url=url, outcome="failed", reasons=("interrupted",)), 4)
    assert not catalogue.is_captured(url)
    assert catalogue.interrupted_attempt(url) == dead
    catalogue.add(manifest(url=url, outcome="partial", reasons=("no-video",)), 6)
    assert catalogue.is_captured(url)
    assert catalogue.interrupted_attempt(url) is None
    assert catalogue.interrupted_attempt("https://video.example/other") is None


def test_what_is_no_manifest_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(ManifestError):
        catalogue.add(b"{}", 3)
    assert catalogue.search() == []


def close_capture(ledger: Ledger, store: S3Store, home: Home, title: str) -> str:
    id, key = new_ulid(), Keyring.open_or_create(home).collector  # noqa: A001
    started = ledger.append("capture.started", id, REQUEST).index
    data = manifest(id, title=title)
    stored = store.put_once(
        f"captures/2026/11/23/{id}/manifest.json", data, digest_bytes(data), content_type="application/json"
    )
    ledger.append(
        "capture.completed",
        id,
        {
            "objects": [{"key": stored.key, "version": stored.version, **stored.digests.as_json()}],
            "outcome": "complete",
            "reasons": [],
            "signature": sign(data, key),
            "started": started,
        },
    )
    return id


def test_it_follows_the_ledger_and_is_rebuilt_when_lost(
    home: Home, store: S3Store, open_ledger: Callable[..., Ledger], caplog: pytest.LogCaptureFixture
) -> None:
    ledger = open_ledger()
    first = close_capture(ledger, store, home, "first")
    catalogue = Catalogue(home)
    catalogue.follow(store, ledger)
    second = close_capture(ledger, store, home, "second")
    catalogue.follow(store, ledger)
    rows = catalogue.search()
    assert [row["capture"] for row in rows] == [first, second]
    catalogue.close()
    for path in home.root.glob("catalogue.sqlite*"):
        path.unlink()
    home.catalogue.write_bytes(b"damaged" * 1000)
    catalogue = Catalogue(home)
    assert "is damaged" in caplog.text
    catalogue.follow(store, ledger)
    assert catalogue.search("second") == rows[1:]
    assert home.catalogue.stat().st_mode & 0o777 == 0o600
    catalogue.close()
