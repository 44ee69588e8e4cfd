"""A crawl's WARC under the audit: present, unchanged, well-formed, and in agreement with the crawl's entries."""

from __future__ import annotations

import pytest

from evidence.canonical import canonical
from evidence.digests import digest_bytes
from evidence.entry import Entry
from tests.evidence import samples, warcs
from tests.evidence.archives import (
    Log,
    MemoryArchive,
    audited,
    build,
    capture_id,
    crawl,
    crawl_key,
    crawl_started,
    rules,
)

KEY = crawl_key(capture_id(13))


def with_a_crawl() -> tuple[MemoryArchive, Log]:
    archive, log = build()
    crawl(log, archive, 13)
    log.publish(archive)
    return archive, log


def test_a_sound_crawl_has_no_findings_and_is_counted() -> None:
    archive, log = with_a_crawl()
    report = audited(archive, log)
    assert report.findings == []
    assert (report.counts["crawls"], report.counts["captures"]) == (1, 2)


def test_a_crawls_warc_that_is_gone_or_changed_is_named() -> None:
    archive, log = with_a_crawl()
    data = archive.data(KEY)
    for at in range(0, len(data), 97):
        archive.replace_bytes(KEY, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert {finding.object for finding in audited(archive, log).findings} == {KEY}, at
    del archive.objects[KEY]
    assert rules(audited(archive, log)) == [(KEY, "object-missing")]


@pytest.mark.parametrize(
    "key", [crawl_key(capture_id(14)), "crawls/2026/11/23/stray", KEY.replace("akashi-crawl", "akashi")]
)
def test_what_lies_under_crawls_and_nobody_names_is_extra(key: str) -> None:
    archive, log = with_a_crawl()
    archive.put(key, b"x")
    assert rules(audited(archive, log)) == [(key, "object-extra")]


def test_a_crawl_under_way_and_its_object_are_notes() -> None:
    archive, log = build()
    log.append("crawl.started", capture_id(13), crawl_started())
    archive.put(KEY, b"half")
    log.publish(archive)
    report = audited(archive, log)
    assert report.findings == []
    assert f"crawl {capture_id(13)} is not closed: under way, or to be recovered" in report.notes
    assert f"{KEY} belongs to a crawl that is not closed" in report.notes


@pytest.mark.parametrize("said", [b"", canonical(samples.CRAWL_REQUEST | {"spider": "other"}), None])
def test_a_crawls_warc_holds_what_its_start_says_was_asked(said: bytes | None) -> None:
    archive, log = build()
    crawl(log, archive, 13)
    warc = warcs.warcinfo()
    if said is not None:
        warc += warcs.resource(4, f"urn:akashi:{capture_id(13)}:crawl.json", said)
    archive.replace_bytes(KEY, warc)
    ended = Entry.decode(log.entries.pop())
    (item,) = ended.body["objects"]
    log.append("crawl.ended", ended.subject, {**ended.body, "objects": [item | digest_bytes(warc).as_json()]})
    log.publish(archive)
    assert rules(audited(archive, log)) == [(KEY, "crawl-request")]


def test_a_crawl_starts_once_and_ends_once_by_its_own_start() -> None:
    archive, log = build()
    crawl(log, archive, 13)
    started, ended = (Entry.decode(entry) for entry in log.entries[-2:])
    log.append("crawl.started", started.subject, dict(started.body))
    log.append("crawl.ended", ended.subject, {**ended.body, "started": 3})
    log.publish(archive)
    assert [rule for _, rule in rules(audited(archive, log))] == [
        "crawl-started-twice",
        "crawl-not-started",
        "crawl-closed-twice",
    ]
