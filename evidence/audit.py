"""The audit: a proof over a whole archive, step by step, that gives every finding its place.

0  `captures/` and `crawls/` are listed before the ledger is read, checkpoints before tiles, tiles before segments,
   so that an archive that grows meanwhile gives no false finding.
1  Checkpoints (and the pointer): a signed note by keys of the log that were good at that size, named by its
   size; written once. One that only a key declared stolen signed is a note (evidence/keys.py). Without any,
   and without a remembered root, nobody vouches for the entries.
2  Segments: written once; each line canonical; header in agreement with key and lines.
3  The chain: every index once, in order, none missing up to the greatest signed or remembered size,
   each entry vouched for by the next one's `prev`; each signed or remembered root is the entries'.
   Entries behind the newest checkpoint are a note: a checkpoint follows every publication.
   Tiles and entry bundles, derived again from the entries, are what the store has: each that the newest
   checkpoint needs, the parts that older ones needed, and no other. None at all is a note.
4  What entries say: signatures lead from the key expected to the one that opened the log; keys follow one
   another as they must; each capture and crawl started once
   and closed at most once, by an entry that names its start. Not closed is a note.
5  Every object of a closing entry is there, once, in the version named, with its sha256, sha512
   and size. When not one version id agrees, this is a copy: a note.
6  Every WARC is well-formed to its end, with right digests on every record.
7  Every manifest keeps its format, says what its entries say, is signed by a collector whose key
   was good then, and equals the copy that lies sealed in the WARC; every record it names exists.
   A crawl's WARC holds the request that the crawl's start digested.
8  Nothing lies under `captures/`, `crawls/` and `ledger/` that no entry names; what belongs to a
   capture or crawl that is not closed is a note.
9  Every timestamp is over the checkpoint that its entry names, sound, by an authority that reaches a root that
   the caller brought, and agrees with the clocks of the log (evidence/audit_anchors.py).
10 Every stored cosignature is one line below the checkpoint of its size, written once, and verifies, if the
   caller brought its witness's key. Those by others are a note.
11 Custody's entries follow one another as they may, name side records that are there, unchanged, and speak of
   the same act; an erasure was confirmed by another operator than the one who requested it. Holds and retention
   are in the store what entries say, where the source can tell. Objects of an erased capture are gone, and that
   is a note: nothing is left to check. A side record that no entry names tells of an act that was begun: a note.

The log is read forward, once for what it says and once more for the ends of captures, of which only
those that are open are kept meanwhile, and eight bytes for each start and each object. `Means` may spread the reading
over threads and the checking over processes; the findings are the same.

The caller still owes: keys and remembered size and root from outside the archive (`Expectations`),
the roots of timestamp authorities, and a source that hands out the bytes as stored.
"""

from __future__ import annotations

from datetime import UTC, datetime

from evidence.audit_anchors import audit_anchors
from evidence.audit_cosignatures import audit_cosignatures
from evidence.audit_ledger import audit_keys, audit_ledger
from evidence.audit_objects import ObjectAudit
from evidence.audit_prints import new_key
from evidence.audit_report import AuditReport, Expectations, Finding, Means, ObjectSource
from evidence.entry import ANCHOR
from evidence.keys import anchored

__all__ = ["AuditReport", "Expectations", "Finding", "Means", "ObjectSource", "audit"]


def audit(
    source: ObjectSource,
    expected: Expectations | None = None,
    *,
    since: str = "",
    means: Means | None = None,
    now: datetime | None = None,
) -> AuditReport:
    """Audit an archive. Objects of captures that began before `since` (UTC text) are not read again.

    The ledger always is, whole. Raises nothing for what is wrong with the archive, only what the
    source raises when it cannot be read.
    """
    report, expected, key = AuditReport(), expected or Expectations(), new_key()
    objects = ObjectAudit(source, report, key, now or datetime.now(UTC))  # step 0
    ledger = audit_ledger(source, expected, report, means, key)  # steps 1 to 4
    anchors = [entry for _, entry in ledger.others if entry.type == ANCHOR]
    times = audit_anchors(
        source, anchors, expected, report, ledger.clock.latest, now or datetime.now(UTC)
    )  # step 9
    ledger.keys.outside = anchored(times)
    audit_keys(ledger, report)  # of step 4, with the times that others vouch for
    objects.run(ledger, since)  # steps 5 to 8, and 11
    audit_cosignatures(source, expected.witnesses, report, ledger.newest, now or datetime.now(UTC))  # step 10
    return report
