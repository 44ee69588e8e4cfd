"""Anchors: which outside time the log has, as entries `anchor.tsr` and the objects that they name.

    ledger/anchors/<size, 20 digits>/<authority>.tsq          the request that was sent    (evidence/timestamp.py)
                                     <authority>.tsr          the response as it came
                                     <authority>.chain.pem    its certificates and, if known, the root
                                     <authority>.ocsp         what its certificate's OCSP responder said
                                     <authority>.openssl.txt  the second opinion, where one was needed

    {"authority":"http://…","objects":[…],"root":"<64 hex>","size":9,"time":"2026-11-23T08:13:00.000Z"}

`<authority>` is its URL without the scheme, other characters than a-z 0-9 . become `-`. What was stamped
are the bytes of `ledger/checkpoints/<size>`; `time` is the token's genTime, to the second. Entries below `size` existed
then. A token's own entry lies behind its checkpoint, so a later token covers it: that is the renewal
(RFC 4998's idea), by which a token outlives its authority's certificate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from cryptography import x509

from evidence.checkpoint import anchors_of
from evidence.der import ordered
from evidence.entry import Entry
from evidence.errors import TimestampError
from evidence.timestamp import Timestamp, verify

QUERY, RESPONSE, CHAIN, OCSP, OPINION = ".tsq", ".tsr", ".chain.pem", ".ocsp", ".openssl.txt"


def anchor_key(size: int, authority: str, ending: str) -> str:
    """Where an object of an authority's token over the checkpoint of this size lies."""
    name = re.sub(r"[^a-z0-9.]+", "-", authority.partition("://")[2].lower()).strip("-.")[:150]
    return f"{anchors_of(size)}{name}{ending}"


def read_token(
    response: bytes,
    request: bytes,
    data: bytes,
    roots: Sequence[x509.Certificate],
    *,
    now: datetime | None = None,
) -> Timestamp:
    """`timestamp.verify`, also of a token whose certificates are not in DER's order. Raises TimestampError."""
    try:
        return verify(response, request, data, roots, now=now)
    except TimestampError as error:
        if error.rule != "der-order":
            raise
    return replace(verify(ordered(response), request, data, roots, now=now), reordered=True)


def is_due(size: int, authority: str, entries: Sequence[Entry]) -> bool:
    """Whether a checkpoint of this size covers something that no token of this authority does, but anchors.

    `entries` are all anchor entries of the log; without this rule each token would make the next.
    """
    covered: int = max((e.body["size"] for e in entries if e.body["authority"] == authority), default=0)
    return size - covered > sum(covered <= entry.index < size for entry in entries)
