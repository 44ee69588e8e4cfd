"""What all captures of one process share: store, ledger, catalogue, settings, and who is watching.

Opened at the first candidate (so that `scrapy list` and `scrapy check` touch nothing), with
dead captures of earlier processes closed first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.options import CaptureOptions
from storage.catalogue import Catalogue
from storage.connect import open_store
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.objects import ObjectStore
from storage.settings import Settings


class Listener(Protocol):
    """Someone who watches captures: the terminal's progress, or Scrapy's log."""

    def __call__(self, url: str, step: str, text: str, *, done: int = 0, total: int = 0) -> None:
        """`step` is a step's name; `text` says what happens; bytes so far and in all when known."""


def unheard(url: str, step: str, text: str, *, done: int = 0, total: int = 0) -> None:
    """Nobody watches."""


@dataclass
class Runtime:
    """The shared things of one process."""

    settings: Settings
    options: CaptureOptions
    store: ObjectStore
    keyring: Keyring
    ledger: Ledger
    catalogue: Catalogue
    listener: Listener = unheard
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by Ctrl-C or SIGTERM: recording stops, what was recorded is sealed, preserved and proved."""
    seen: set[str] = field(default_factory=set)
    """URLs of this crawl, so that one crawl captures none twice."""
    admitted: int = 0
    crawl: dict[str, str] | None = None
    """`{id, warc}` of the crawl that finds the candidates, once it has fetched something."""

    @classmethod
    def open(cls, settings: Settings, options: CaptureOptions, listener: Listener = unheard) -> Runtime:
        """Start or reach the store, open the ledger. Raises StoreUnavailableError, LedgerUnavailableError."""
        settings.home.make()
        store = open_store(settings)
        keyring = Keyring.open_or_create(settings.home, settings.ledger_origin)
        ledger = Ledger(settings.home, store, keyring)
        ledger.open()
        catalogue = Catalogue(settings.home)
        catalogue.follow(store, ledger)
        return cls(settings, options, store, keyring, ledger, catalogue, listener)


async def in_thread(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run blocking storage code beside the event loop; a cancel waits for it, so no write is torn."""
    return await asyncio.shield(asyncio.to_thread(call, *args, **kwargs))
