"""What stands before a log is written: that it is ours, with keys that are good in it, and what it begins with.

log.opened      entry 0, if there is none yet
key.added       the collector's key, if the log does not know it
custody.store   the store and what it can do, whenever that is not what the newest such entry says
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evidence.entry import Entry
from evidence.errors import LedgerFencedError
from evidence.keys import KeyHistory
from storage.keyring import Keyring
from storage.sequencer import Draft


def refuse_foreign(history: KeyHistory, keyring: Keyring) -> None:
    """Refuse (LedgerFencedError) to write a log with keys that are not, or no longer, good in it."""
    for vkey in [key.vkey for key in keyring.verifiers] if history.lives else ():
        life = history.find(vkey)
        if life is None or life.role != "log":
            raise LedgerFencedError(
                f"the store holds the log of {history.lives[0].vkey}, not ours",
                next="restore that log's keys (akashi restore), or set another store_bucket",
            )
        if life.until is not None:
            raise _ended(vkey, life.until)


def due(
    history: KeyHistory, keyring: Keyring, custody: Mapping[str, Any], known: bytes | None
) -> Iterator[Draft]:
    """What must stand in the log before anything else is appended, and does not yet.

    `custody` is the store's, `known` the newest `custody.store` entry. Raises LedgerFencedError.
    """
    if not history.lives:
        first = {"origin": keyring.origin, "vkey": keyring.verifiers[0].vkey}
        yield Draft("log.opened", keyring.origin, first)
    collector = keyring.collector.vkey
    life = history.find(collector)
    if life is None:
        yield Draft("key.added", keyring.origin, {"role": "collector", "vkey": collector})
    elif life.until is not None:
        raise _ended(collector, life.until)
    if known is None or Entry.decode(known).body != custody:
        yield Draft("custody.store", str(custody["bucket"]), custody)


def _ended(vkey: str, index: int) -> LedgerFencedError:
    return LedgerFencedError(
        f"entry {index} ended the use of a key that is here: {vkey}",
        next="restore a newer backup (akashi restore), or put the file of that key away",
    )
