"""One phase of the ledger's curve in a process of its own, over a home with its embedded store; prints one JSON object.

    python -m benchmarks.ledger.phases append|alone|prove|audit HOME NUMBER

append   until the log has NUMBER entries, BATCH in each call; each is in the store, synced and signed, when it returns
alone    NUMBER entries, one at a time with a pause: how long one takes to be acknowledged
prove    NUMBER proofs of entries anywhere in the log, each with nothing cached: time, size, and time to check
audit    every entry, tile and checkpoint, re-read from the store: at least NUMBER entries

Entries are captures that start and are completed, half and half, with the
bodies that real ones have; the objects they name do not exist, and are not looked for.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final

from console.spread import all_means
from evidence.audit import audit
from evidence.checkpoint import checkpoint_key
from evidence.tlog_proof import TlogProof
from storage.connect import open_store
from storage.home import Home
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.ledger_source import LedgerSource
from storage.s3 import S3Store
from storage.sequencer import Draft
from storage.settings import Settings
from storage.tiles import Tiles

BATCH: Final = 16384
OPENING: Final = 3
"""Entries with which a log begins."""
PAUSE: Final = 0.05
"""Seconds between two entries under light load."""
AFTER_ALL: Final = "9999-01-01T00:00:00.000Z"
"""No capture began later, so that the audit reads no objects."""
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def main() -> None:
    """Run one phase."""
    what, home, number = sys.argv[1:]
    phases: dict[str, Callable[[Settings, int], dict[str, Any]]] = {
        "append": append,
        "alone": alone,
        "prove": prove,
        "audit": audited,
    }
    print(json.dumps(phases[what](Settings(home=Home(Path(home)).make()), int(number))))


def append(settings: Settings, number: int) -> dict[str, Any]:
    """`entries` appended in `seconds`."""
    _, ledger, _ = _opened(settings)
    before, drafts = ledger.size, drafts_from(ledger.size)
    started = time.perf_counter()
    while ledger.size < number:
        ledger.append_many(list(islice(drafts, min(BATCH, number - ledger.size))))
    return {"entries": ledger.size - before, "seconds": time.perf_counter() - started}


def alone(settings: Settings, number: int) -> dict[str, Any]:
    """Each append's `seconds`."""
    _, ledger, _ = _opened(settings)
    seconds = []
    for draft in islice(drafts_from(ledger.size), number):
        time.sleep(PAUSE)
        started = time.perf_counter()
        ledger.append(*draft)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds}


def prove(settings: Settings, number: int) -> dict[str, Any]:
    """Each proof's `made` and `checked` in seconds, and its `bytes`."""
    store, ledger, keyring = _opened(settings)
    size, chance = ledger.size, random.Random(ledger.size)  # noqa: S311 - the same entries each time
    places = [0, size - 1, *(chance.randrange(size) for _ in range(number - 2))]
    made, checked, lengths = [], [], []
    for index in places:
        started = time.perf_counter()
        tiles = Tiles(store, lambda start, stop: map(ledger.entry_bytes, range(start, stop)))
        proof = TlogProof(index, tuple(tiles.inclusion(index, size)), store.read(checkpoint_key(size)))
        data, entry = proof.encode(), ledger.entry_bytes(index)
        made.append(time.perf_counter() - started)
        started = time.perf_counter()
        TlogProof.decode(data).check(entry, [keyring.log.verifier])
        checked.append(time.perf_counter() - started)
        lengths.append(len(data))
    return {"made": made, "checked": checked, "bytes": lengths}


def audited(settings: Settings, number: int) -> dict[str, Any]:
    """`entries` audited in `seconds`, with `findings`."""
    store, _, keyring = _opened(settings)
    expected = keyring.expectations()
    started = time.perf_counter()
    with all_means() as means, closing(LedgerSource(store)) as source:  # as `akashi audit` does it
        report = audit(source, expected, since=AFTER_ALL, means=means)
    seconds = time.perf_counter() - started
    entries, wrong = report.counts["entries"], [finding.as_line() for finding in report.findings[:10]]
    if entries < number:
        wrong.append(f"only {entries} of {number} entries")
    return {"entries": entries, "seconds": seconds, "findings": wrong}


def _opened(settings: Settings) -> tuple[S3Store, Ledger, Keyring]:
    store = open_store(settings)
    keyring = Keyring.open_or_create(settings.home)
    ledger = Ledger(settings.home, store, keyring)
    ledger.open()
    return store, ledger, keyring


def drafts_from(index: int) -> Iterator[Draft]:
    """The log's entries from an index on: the same one has the same body, whoever asks."""
    while True:
        number, ends = divmod(index - OPENING, 2)
        chance = hashlib.shake_256(str(number).encode()).hexdigest(512)
        subject = "01K" + "".join(_ALPHABET[int(digit, 16)] for digit in chance[:23])
        if ends:
            yield Draft("capture.completed", subject, _completed(chance, subject, index - 1))
        else:
            yield Draft("capture.started", subject, {"request": _digests(chance[32:])})
        index += 1


def _digests(chance: str) -> dict[str, Any]:
    return {"sha256": chance[:64], "sha512": chance[64:192], "size": int(chance[192:198], 16)}


def _completed(chance: str, subject: str, started: int) -> dict[str, Any]:
    folder = f"captures/2026/11/23/{subject}/"
    names = (f"akashi-20261123T081300Z-{subject}.warc.gz", "manifest.json")
    return {
        "started": started,
        "outcome": "complete",
        "reasons": [],
        "objects": [
            {"key": folder + name, "version": chance[at : at + 32], **_digests(chance[at + 32 :])}
            for at, name in zip((300, 540), names, strict=True)
        ],
        "signature": {"keyid": chance[:8], "sig": "A" * 86 + "=="},
    }


if __name__ == "__main__":
    main()
