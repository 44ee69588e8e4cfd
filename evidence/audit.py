"""The audit: a proof over a whole archive, step by step, that gives every finding its place.

0  `captures/` and `crawls/` are listed before the ledger is read, checkpoints before tiles, tiles before segments,
   so that an archive that grows meanwhile gives no false finding.
1  Checkpoints (and the pointer): a signed note by the log's key, named by its size; written once.
2  Segments: written once; each line canonical; header in agreement with key and lines.
3  The chain: every index once, in order, none missing up to the greatest signed or remembered size,
   each entry vouched for by the next one's `prev`; each signed or remembered root is the entries'.
   Entries behind the newest checkpoint are a note: a checkpoint follows every publication.
   Tiles and entry bundles, derived again from the entries, are what the store has: each that the newest
   checkpoint needs, the parts that older ones needed, and no other. None at all is a note.
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

The log is read forward, once for what it says and once more for the ends of captures, of which only
those that are open are kept meanwhile, and eight bytes for each start and each object. `Means` may spread the reading
over threads and the checking over processes; the findings are the same.

The caller still owes: keys and remembered size and root from outside the archive (`Expectations`),
and a source that hands out the bytes as stored. What only outside time can show (when a root
existed) is not this proof's business.
"""

from __future__ import annotations

from evidence.audit_ledger import audit_ledger
from evidence.audit_objects import ObjectAudit
from evidence.audit_prints import new_key
from evidence.audit_report import AuditReport, Expectations, Finding, Means, ObjectSource

__all__ = ["AuditReport", "Expectations", "Finding", "Means", "ObjectSource", "audit"]


def audit(
    source: ObjectSource,
    expected: Expectations | None = None,
    *,
    since: str = "",
    means: Means | None = None,
) -> AuditReport:
    """Audit an archive. Objects of captures that began before `since` (UTC text) are not read again.

    The ledger always is, whole. Raises nothing for what is wrong with the archive, only what the
    source raises when it cannot be read.
    """
    report, key = AuditReport(), new_key()
    objects = ObjectAudit(source, report, key)  # step 0
    ledger = audit_ledger(source, expected or Expectations(), report, means, key)  # steps 1 to 4
    objects.run(ledger, since)  # steps 5 to 8
    return report
