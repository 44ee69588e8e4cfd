"""Anchors over a real store and real authorities: what is due, what fails, what a kill leaves, what is renewed."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from evidence.anchors import CHAIN, OCSP, OPINION, QUERY, RESPONSE, anchor_key
from evidence.audit import audit
from evidence.checkpoint import checkpoint_key
from evidence.digests import digest_bytes
from evidence.entry import Entry
from evidence.errors import LedgerUnavailableError, StoreUnavailableError, TimestampError, UsageError
from evidence.timestamp import request_for
from storage.anchors import Anchors, stamp_at_end
from storage.archive import Archive
from storage.authorities import load_roots, second_opinion
from storage.catalogue import Catalogue
from storage.keyring import Keyring
from storage.settings import Settings
from tests.storage.faults import Fault, FaultyStore
from tests.storage.test_ledger import append, remove


@pytest.fixture
def archive(home, store, open_ledger, alpha):
    settings = Settings(
        home=home,
        timestamp_authorities=[alpha.url()],
        timestamp_roots=[str(alpha.folder / "root.pem")],
        ledger_allow_private=True,
    )
    keyring, ledger = Keyring.open_or_create(home), open_ledger()
    catalogue = Catalogue(home)
    yield Archive(settings, store, keyring, ledger, catalogue)
    catalogue.close()


def asking(archive: Archive, *urls: str) -> Anchors:
    archive.settings = replace(archive.settings, timestamp_authorities=list(urls))
    return Anchors(archive)


def findings(archive: Archive, *, now: datetime | None = None):
    expected = replace(archive.keyring.expectations(), tsa_roots=load_roots(archive.settings))
    return audit(archive.store, expected, now=now)


def test_a_stamp_keeps_request_response_chain_and_revocation_and_enters_them(archive, alpha):
    before = archive.ledger.size
    (attempt,) = Anchors(archive).stamp()
    assert attempt.problem == ""
    entry = Entry.decode(archive.ledger.entry_bytes(attempt.entry))
    assert (entry.type, entry.subject) == ("anchor.tsr", archive.keyring.origin)
    assert entry.body["size"] == before == attempt.entry
    assert entry.body["authority"] == alpha.url()
    stored = {item["key"]: archive.store.read(item["key"]) for item in entry.body["objects"]}
    assert sorted(stored) == sorted(
        anchor_key(before, alpha.url(), ending) for ending in (QUERY, RESPONSE, CHAIN, OCSP)
    )
    assert stored[anchor_key(before, alpha.url(), CHAIN)].count(b"BEGIN") == 3
    assert "its certificate's OCSP responder says: good" in attempt.notes
    report = findings(archive)
    assert (report.findings, report.notes, report.counts["anchors"]) == ([], [], 1)


def test_what_only_anchors_were_added_to_is_not_stamped_again_and_a_capture_makes_it_due(
    archive, alpha, beta
):
    archive.settings.timestamp_roots.append(str(beta.folder / "root.pem"))
    anchors = asking(archive, alpha.url(), beta.url("/ec"))
    assert [bool(attempt.timestamp) for attempt in anchors.stamp()] == [True, True]
    assert anchors.stamp() == []
    append(archive.ledger)
    size = archive.ledger.size
    assert {attempt.entry for attempt in anchors.stamp()} == {size, size + 1}
    assert len(anchors.entries()) == 4
    assert findings(archive).findings == []


def test_authorities_that_fail_are_named_each_with_its_reason_and_the_good_one_counts(archive, alpha):
    bad = {
        "/refuse": "the authority refused (status 2)",
        "/broken": "HTTP status 500",
        "/huge": "exceeds 65536 bytes",
        "/expired": "was valid",
        "/no-use": "not critically, and only, for timestamps",
        "/slow": " in ",
    }
    anchors = asking(archive, *map(alpha.url, bad), alpha.url())
    began = time.monotonic()
    *failed, good = anchors.stamp(2.0)
    assert time.monotonic() - began < 6
    assert good.timestamp
    for attempt, (path, why) in zip(failed, bad.items(), strict=True):
        assert (attempt.timestamp, attempt.authority) == (None, alpha.url(path))
        assert why in attempt.problem
    assert [entry.body["authority"] for entry in anchors.entries()] == [alpha.url()]
    assert findings(archive).findings == []
    size = archive.ledger.size
    assert anchors.due(anchors.entries(), size, datetime.now(UTC)) == [alpha.url(path) for path in bad], (
        "they stay queued"
    )


def test_an_answer_to_an_earlier_request_is_no_answer(archive, alpha):
    alpha.answer("/replay", request_for(b"another time"))
    (attempt,) = asking(archive, alpha.url("/replay")).stamp()
    assert "other bytes" in attempt.problem or "another request" in attempt.problem


def test_a_dead_authority_and_an_unknown_root_are_told(archive, alpha, beta):
    dead, stranger = asking(archive, "http://127.0.0.1:9/tsa", beta.url()).stamp(2.0)
    assert "127.0.0.1:9" in dead.problem
    assert "no chain to a root" in stranger.problem


def test_a_private_address_is_refused_unless_it_is_allowed(archive, alpha):
    archive.settings = replace(archive.settings, ledger_allow_private=False)
    (attempt,) = Anchors(archive).stamp()
    assert "loopback" in attempt.problem
    assert "ledger_allow_private" in attempt.next


def test_a_token_that_the_library_refuses_is_judged_by_openssl_and_its_word_is_kept(archive, alpha):
    (attempt,) = asking(archive, alpha.url("/unordered")).stamp()
    assert attempt.timestamp
    size = attempt.entry
    said = archive.store.read(anchor_key(size, alpha.url("/unordered"), OPINION)).decode()
    assert "Verification: OK" in said
    assert "-attime" in said
    report = findings(archive)
    assert report.findings == []
    assert any("openssl ts -verify" in note for note in report.notes)


def test_openssl_contradicts_a_token_over_other_bytes(archive, alpha, beta):
    (attempt,) = Anchors(archive).stamp()
    response = archive.store.read(anchor_key(attempt.entry, alpha.url(), RESPONSE))
    roots = load_roots(archive.settings)
    with pytest.raises(TimestampError) as caught:
        second_opinion(response, b"other bytes", attempt.timestamp, roots)
    assert caught.value.rule == "second-opinion"
    note = archive.store.read(checkpoint_key(attempt.entry))
    with pytest.raises(TimestampError):
        second_opinion(response, note, attempt.timestamp, (beta.root.certificate,))


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("ending", [QUERY, RESPONSE, CHAIN, OCSP, "entry"])
def test_a_run_that_dies_between_two_writes_is_mended_by_the_next(archive, store, alpha, fault, ending):
    size = archive.ledger.size
    where = f"ledger/segments/{size:012d}" if ending == "entry" else anchor_key(size, alpha.url(), ending)
    faulty = FaultyStore(store)
    faulty.arm(where, fault)
    archive.store = faulty
    archive.ledger._store = faulty
    with pytest.raises(StoreUnavailableError):
        Anchors(archive).stamp()
    assert faulty.struck == 1
    asked = len(alpha.requests)
    attempts = Anchors(archive).stamp()
    if ending == "entry":  # it was sequenced: reading the log has published it
        assert attempts == []
    else:
        assert attempts[0].problem == ""
        response_was_stored = ending in {CHAIN, OCSP} or (ending, fault) == (RESPONSE, Fault.PERSISTED)
        assert ("/tsa" not in alpha.requests[asked:]) == response_was_stored
    assert len(Anchors(archive).entries()) == 1
    report = findings(archive)
    assert (report.findings, report.notes) == ([], [])


def test_what_a_killed_run_left_and_nobody_mended_is_a_note(archive, alpha):
    key = anchor_key(archive.ledger.size, alpha.url(), QUERY)
    archive.store.put_once(key, b"0", digest_bytes(b"0"), content_type="application/octet-stream")
    append(archive.ledger)
    report = findings(archive)
    assert report.findings == []
    assert any(note.startswith(f"{key} is named by no entry") for note in report.notes)


def test_a_certificate_that_ends_soon_forces_a_token_over_its_own_entry_once_a_day(archive, alpha, beta):
    archive.settings.timestamp_roots.append(str(beta.folder / "root.pem"))
    anchors = asking(archive, beta.url())
    (old,) = anchors.stamp()
    entries, now = anchors.entries(), datetime.now(UTC)
    assert [anchor.entry.index for anchor in anchors.expiring(entries, now)] == [old.entry]
    assert anchors.due(entries, archive.ledger.size, now) == []
    tomorrow = now + timedelta(days=1, minutes=1)
    assert anchors.due(entries, archive.ledger.size, tomorrow) == [beta.url()]
    (new,) = asking(archive, alpha.url()).stamp(all_=True)
    entries = anchors.entries()
    assert entries[-1].body["size"] > old.entry, "the new token covers the old one's entry"
    assert new.timestamp.not_after > old.timestamp.not_after
    assert anchors.expiring(entries, now) == []
    assert anchors.due(entries, archive.ledger.size, tomorrow) == []


def test_an_expired_certificate_is_a_note_until_a_later_token_covers_it(archive, alpha, beta):
    archive.settings.timestamp_roots.append(str(beta.folder / "root.pem"))
    asking(archive, beta.url()).stamp()
    later = datetime.now(UTC) + timedelta(days=40)
    assert any("no later token covers it" in note for note in findings(archive, now=later).notes)
    asking(archive, alpha.url()).stamp(all_=True)
    report = findings(archive, now=later)
    assert (report.findings, report.notes) == ([], [])


def test_the_end_of_a_run_stamps_once_an_hour_and_tells_what_it_could_not(archive, alpha):
    assert stamp_at_end(archive) == f"the ledger was timestamped by {alpha.url()}"
    append(archive.ledger)
    assert stamp_at_end(archive) == ""
    archive.settings = replace(archive.settings, timestamp_minutes=0)
    assert stamp_at_end(archive).startswith("the ledger was timestamped")
    append(archive.ledger)
    asking(archive, "http://127.0.0.1:9/tsa")
    assert "127.0.0.1:9" in stamp_at_end(archive)
    asking(archive)
    assert stamp_at_end(archive) == ""


def test_the_end_of_a_run_tells_also_who_did_not_stamp(archive, alpha):
    asking(archive, "http://127.0.0.1:9/tsa", alpha.url())
    good, bad = stamp_at_end(archive).splitlines()
    assert alpha.url() in good
    assert "127.0.0.1:9" in bad


def test_a_name_that_is_no_url_is_the_problem_of_that_authority_alone(archive, alpha):
    bad, accented, good = asking(archive, "ftp://x/", f"{alpha.url()}/\u00e9", alpha.url()).stamp()
    assert "neither http nor https" in bad.problem
    assert "not ASCII" in accented.problem
    assert good.timestamp


def test_a_certificate_that_names_what_nobody_can_ask_costs_no_timestamp(archive, monkeypatch):
    monkeypatch.setattr("storage.authorities._responder", lambda _: "ldap://directory.example/cn=ocsp")
    (attempt,) = Anchors(archive).stamp()
    assert attempt.timestamp
    assert "no word on revocation" in attempt.notes[0]


def test_objects_that_are_gone_are_named_with_what_to_do(archive, store):
    (attempt,) = Anchors(archive).stamp()
    entry = Entry.decode(archive.ledger.entry_bytes(attempt.entry))
    (response,) = (item["key"] for item in entry.body["objects"] if item["key"].endswith(RESPONSE))
    remove(store, response)
    assert Anchors(archive).read(entry).problem == f"{response} is gone: run `akashi audit`"
    remove(store, checkpoint_key(archive.ledger.size))
    with pytest.raises(LedgerUnavailableError, match="is lost, or not what was signed"):
        Anchors(archive).stamp(all_=True)


def test_authorities_are_asked_at_once(archive, alpha, beta):
    anchors = asking(archive, alpha.url("/slow"), beta.url("/slow"))
    began = time.monotonic()
    assert [attempt.timestamp for attempt in anchors.stamp(0.7)] == [None, None]
    assert time.monotonic() - began < 1.4


def test_roots_that_are_none_are_a_usage_error_and_certifi_is_the_default(archive, tmp_path, alpha):
    assert load_roots(archive.settings) == (alpha.root.certificate,)
    assert len(load_roots(Settings())) > 50
    (tmp_path / "x").write_bytes(alpha.root.certificate.public_bytes(Encoding.DER))
    with pytest.raises(UsageError) as caught:
        load_roots(Settings(timestamp_roots=[str(tmp_path / "x")]))
    assert caught.value.exit_code == 2
