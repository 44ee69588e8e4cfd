"""The audit: a proof over a whole archive, step by step, that gives every finding its place.

0  `captures/` and `crawls/` are listed before the ledger is read, checkpoints before segments, so that an archive
   that grows meanwhile gives no false finding.
1  Checkpoints (and the pointer): a signed note by the log's key, named by its size; written once.
2  Segments: written once; each line canonical; header in agreement with key and lines.
3  The chain: every index once, in order, none missing up to the greatest signed or remembered size,
   each entry vouched for by the next one's `prev`; each signed or remembered root is the entries'.
   Entries behind the newest checkpoint are a note: a checkpoint follows every publication.
4  What entries say: entry 0 opened the log with the key expected; each capture and crawl started once
   and closed at most once, by an entry that names its start. Not closed is a note.
5  Every object of a closing entry is there, once, in the version named, with its sha256, sha512
   and size. When not one version id agrees, this is a copy: a note.
6  Every WARC is well-formed to its end, with right digests on every record.
7  Every manifest keeps its format, says what its entries say, is signed by a collector whose key
   the ledger had added, and equals the copy that lies sealed in the WARC; every record it names exists.
   A crawl's WARC holds the request that the crawl's start digested.
8  Nothing lies under `captures/`, `crawls/` and `ledger/` that no entry names; what belongs to a
   capture or crawl that is not closed is a note.
9  Every timestamp is over the checkpoint that its entry names, sound, by an authority that reaches a root that
   the caller brought, and agrees with the clocks of the log (evidence/audit_anchors.py).
10 Every stored cosignature is one line below the checkpoint of its size, written once, and verifies, if the
   caller brought its witness's key. Those by others are a note.

The caller still owes: keys and remembered size and root from outside the archive (`Expectations`),
the roots of timestamp authorities, and a source that hands out the bytes as stored.
"""

from __future__ import annotations

from datetime import datetime

from evidence.audit_anchors import audit_anchors
from evidence.audit_cosignatures import audit_cosignatures
from evidence.audit_ledger import audit_ledger
from evidence.audit_objects import ObjectAudit
from evidence.audit_report import AuditReport, Expectations, Finding, ObjectSource

__all__ = ["AuditReport", "Expectations", "Finding", "ObjectSource", "audit"]


def audit(
    source: ObjectSource,
    expected: Expectations | None = None,
    *,
    since: str = "",
    now: datetime | None = None,
) -> AuditReport:
    """Audit an archive. Objects of captures that began before `since` (UTC text) are not read again.

    The ledger always is, whole. Raises nothing for what is wrong with the archive, only what the
    source raises when it cannot be read.
    """
    report, expected = AuditReport(), expected or Expectations()
    objects = ObjectAudit(source, report)  # step 0
    ledger = audit_ledger(source, expected, report)  # steps 1 to 4
    objects.run(ledger, since)  # steps 5 to 8
    audit_anchors(source, ledger.anchors, expected, report, now=now)  # step 9
    audit_cosignatures(source, expected.witnesses, report)  # step 10
    return report
