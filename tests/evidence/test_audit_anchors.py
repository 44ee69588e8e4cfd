"""Step 9 of the audit: what an opposing expert would try with the log's outside time, and how each shows."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evidence.anchors import CHAIN, QUERY, RESPONSE, anchor_key
from evidence.audit import audit
from evidence.canonical import utc
from evidence.checkpoint import checkpoint_key
from evidence.digests import digest_bytes
from evidence.note import sign_note
from evidence.timestamp import request_for
from evidence.tree import leaf_hash, root_of
from tests.evidence import archives, samples

URL = "http://alpha.example/tsa"


class Stamped:
    """A small log whose entries say `said`, stamped now by a real authority."""

    def __init__(self, monkeypatch, alpha) -> None:
        self.monkeypatch, self.alpha = monkeypatch, alpha
        self.says(timedelta(0))
        self.archive, self.log = archives.build()
        self.size = len(self.log.entries)

    def says(self, ahead: timedelta) -> None:
        """Entries from here on are written by a clock that is this far ahead."""
        self.monkeypatch.setattr(samples, "TIME", utc(datetime.now(UTC) + ahead))

    def stamp(self, *, over: bytes | None = None, signer: str = "tsa", **body: Any) -> None:
        note = self.archive.data(checkpoint_key(self.size))
        request = request_for(over or note)
        response = self.alpha.reply(request, signer)
        chain = self.alpha.intermediate.pem() + self.alpha.root.pem()
        objects = []
        for ending, data in ((CHAIN, chain), (QUERY, request), (RESPONSE, response)):
            key = anchor_key(self.size, URL, ending)
            version = self.archive.put(key, data)
            objects.append({"key": key, "version": version, **digest_bytes(data).as_json()})
        found = re.search(rb"\x18\x0f(\d{14}Z)", response)  # the tag alone stands in many a digest too
        assert found
        time = datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S%z").replace(tzinfo=UTC)
        root = root_of([leaf_hash(entry) for entry in self.log.entries[: self.size]])
        facts = {
            "authority": URL,
            "objects": objects,
            "root": root.hex(),
            "size": self.size,
            "time": utc(time),
        }
        self.log.append("anchor.tsr", samples.ORIGIN, facts | body)
        self.log.publish(self.archive)

    def audit(self, *, roots: bool = True, **named: Any):
        trusted = (self.alpha.root.certificate,) if roots else ()
        return audit(self.archive, replace(self.log.expectations(), tsa_roots=trusted), **named)

    def rules(self, **named: Any) -> list[tuple[str, str]]:
        return archives.rules(self.audit(**named))

    def key(self, ending: str) -> str:
        return anchor_key(self.size, URL, ending)


@pytest.fixture
def stamped(monkeypatch, alpha) -> Stamped:
    return Stamped(monkeypatch, alpha)


def test_a_stamped_log_has_nothing_to_find(stamped):
    stamped.stamp()
    report = stamped.audit()
    assert (report.findings, report.counts["anchors"]) == ([], 1)
    assert not any("root" in note or "clock" in note or "outside" in note for note in report.notes)


def test_a_log_without_a_timestamp_is_told(stamped):
    assert any("no timestamp is there that holds" in note for note in stamped.audit().notes)


def test_without_roots_tokens_are_checked_against_what_is_archived_and_a_note_says_so(stamped):
    stamped.stamp()
    report = stamped.audit(roots=False)
    assert report.findings == []
    assert any("whose word they are was not checked" in note for note in report.notes)
    forged = bytearray(stamped.archive.data(stamped.key(RESPONSE)))
    forged[-5] ^= 1
    stamped.archive.replace_bytes(stamped.key(RESPONSE), bytes(forged))
    assert stamped.rules(roots=False) == [(stamped.key(RESPONSE), "object-digest")]


@pytest.mark.parametrize("ending", [QUERY, RESPONSE, CHAIN])
def test_an_object_that_is_gone_or_changed(stamped, ending):
    stamped.stamp()
    key = stamped.key(ending)
    kept = stamped.archive.objects.pop(key)
    assert (key, "object-missing") in stamped.rules()
    stamped.archive.objects[key] = [("v1", kept[0][1] + b"x")]
    assert stamped.rules() == [(key, "object-digest")]
    stamped.archive.objects[key] = [("v0", b"x"), *kept]
    assert (key, "object-versions") in stamped.rules()


def test_a_token_over_something_else_than_the_checkpoint(stamped):
    stamped.stamp(over=b"another log's checkpoint")
    assert stamped.rules() == [(stamped.key(RESPONSE), "timestamp-imprint")]


def test_a_history_written_anew_under_an_old_token(stamped):
    """The insider has the log's key, and signs another checkpoint of that size; the token is over the first."""
    stamped.stamp()
    other = replace(stamped.log.checkpoint(), size=stamped.size, root=bytes(32))
    stamped.archive.replace_bytes(checkpoint_key(stamped.size), sign_note(other.body(), [samples.LOG_KEY]))
    assert (checkpoint_key(stamped.size), "anchor-root") in stamped.rules()


def test_an_entry_that_claims_another_root_than_its_checkpoint(stamped):
    stamped.stamp(root="0" * 64)
    assert stamped.rules() == [(checkpoint_key(stamped.size), "anchor-root")]


def test_an_entry_that_claims_an_earlier_time_than_its_token(stamped):
    stamped.stamp(time="2020-01-01T00:00:00.000Z")
    assert stamped.rules() == [(stamped.key(RESPONSE), "anchor-time")]


def test_another_authority_than_the_auditor_trusts(stamped, beta):
    stamped.stamp()
    expected = replace(stamped.log.expectations(), tsa_roots=(beta.root.certificate,))
    assert archives.rules(audit(stamped.archive, expected)) == [(stamped.key(RESPONSE), "timestamp-chain")]


def test_an_authority_whose_certificate_had_expired(stamped):
    stamped.stamp(signer="expired")
    assert stamped.rules() == [(stamped.key(RESPONSE), "timestamp-certificate-time")]


def test_a_log_whose_clock_was_set_back_contradicts_its_token(monkeypatch, alpha):
    """Back-dating: entries say yesterday, the token's own entry too, but the authority says today."""
    stamped = Stamped(monkeypatch, alpha)
    stamped.says(-timedelta(days=1))
    stamped.stamp()
    assert stamped.rules() == [(checkpoint_key(stamped.size), "anchor-clock")]


def test_entries_that_claim_to_be_later_than_the_token_that_covers_them(monkeypatch, alpha):
    """Post-dating, or a clock that was ahead."""
    stamped = Stamped(monkeypatch, alpha)
    stamped.says(timedelta(hours=2))
    stamped.archive, stamped.log = archives.build()
    stamped.stamp()
    assert stamped.rules() == [(checkpoint_key(stamped.size), "anchor-clock")]


def test_one_entry_among_others_that_claims_to_be_later_than_the_token(stamped):
    """Post-dating one capture: the entries behind it, and so the checkpoint's last one, tell the right time."""
    right = samples.TIME
    stamped.says(timedelta(hours=2))
    stamped.log.append("capture.started", archives.capture_id(13), archives.started_body())
    stamped.monkeypatch.setattr(samples, "TIME", right)
    stamped.log.append("capture.started", archives.capture_id(14), archives.started_body())
    stamped.log.publish(stamped.archive)
    stamped.size = len(stamped.log.entries)
    stamped.stamp()
    (found,) = stamped.audit().findings
    assert (found.object, found.rule) == (checkpoint_key(stamped.size), "anchor-clock")
    assert "entry 7 claims to be later, by 7" in found.detail


def test_a_clock_that_is_some_minutes_off_is_told(stamped):
    stamped.says(-timedelta(minutes=5))
    stamped.stamp()
    report = stamped.audit()
    assert report.findings == []
    (note,) = (note for note in report.notes if "a clock was wrong" in note)
    assert "by 30" in note or "by 299" in note


def test_a_certificate_that_expired_since_is_a_note_and_never_a_failure(stamped):
    stamped.stamp()
    report = stamped.audit(now=datetime.now(UTC) + timedelta(days=4000))
    assert report.findings == []
    assert any("no later token covers it" in note for note in report.notes)


def test_a_token_whose_certificates_are_out_of_order_is_judged_and_asks_for_openssl(stamped):
    stamped.stamp(signer="unordered")
    report = stamped.audit()
    assert report.findings == []
    assert any("openssl ts -verify" in note for note in report.notes)


def test_objects_that_no_entry_names(stamped):
    orphan, stray = anchor_key(stamped.size, URL, QUERY), "ledger/anchors/readme"
    stamped.archive.put(orphan, b"a request")
    stamped.archive.put(stray, b"hello")
    report = stamped.audit()
    assert archives.rules(report) == [(stray, "object-extra")]
    assert any(note.startswith(orphan) for note in report.notes)
