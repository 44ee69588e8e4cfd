"""The store as an audit of millions of small objects reads it: few requests, and little work for each.

Under `ledger/`, versions are asked for a thousand keys at a time, and objects are fetched by a signed URL on
a connection for each thread, a third of boto3's work. Whatever is not plainly there in the first answer is
asked for again by the store's own way, with its patience and its errors.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from io import BytesIO
from threading import Lock, local
from typing import BinaryIO, Final, NamedTuple
from urllib.parse import urlsplit

import certifi

from storage.objects import ObjectHead
from storage.s3 import S3Store

_PREFIX: Final = "ledger/"
_SECONDS: Final = 30.0
_MOST: Final = 32 << 20
"""Bytes: no object of a ledger has as many; one that has is read by the store's own way, as a stream."""


class _Page(NamedTuple):
    """Versions by key, of every key from `first` up to and without `end` (None: there were no more)."""

    first: str
    end: str | None
    versions: dict[str, list[str]]


class LedgerSource:
    """An ObjectSource over a store, for one audit. Threads may share it."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._trusted = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or certifi.where())
        self._own = local()
        self._opened: list[HTTPConnection] = []
        self._pages: dict[str, _Page] = {}
        self._lock = Lock()

    def close(self) -> None:
        """Close the connections."""
        for connection in self._opened:
            connection.close()

    def list(self, prefix: str) -> Iterator[ObjectHead]:
        """See ObjectSource.list."""
        return self._store.list(prefix)

    def head(self, key: str, version: str = "") -> ObjectHead | None:
        """See ObjectStore.head."""
        return self._store.head(key, version)

    def versions(self, key: str) -> Sequence[str]:
        """See ObjectSource.versions."""
        if not key.startswith(_PREFIX):
            return self._store.versions(key)
        group = key[: key.index("/", len(_PREFIX)) + 1] if key.count("/") > 1 else key
        with self._lock:
            page = self._pages.get(group)
            if page is None or key < page.first or (page.end is not None and key >= page.end):
                page = self._pages[group] = self._ask(group, key)
        return page.versions.get(key) or self._store.versions(key)

    def open(
        self, key: str, version: str | None = None, start: int | None = None, length: int | None = None
    ) -> BinaryIO:
        """See ObjectSource.open."""
        if key.startswith(_PREFIX) and (version, start, length) == (None, None, None):
            data = self._fetch(key)
            if data is not None:
                return BytesIO(data)
        return self._store.open(key, version, start, length)

    def _fetch(self, key: str) -> bytes | None:
        """The object, if the first answer is plainly all of it."""
        asked = {"Bucket": self._store.bucket, "Key": key}
        url = urlsplit(self._store.client.generate_presigned_url("get_object", Params=asked))
        connection = self._connection(url.scheme, url.netloc)
        try:
            connection.request("GET", f"{url.path}?{url.query}")
            answer = connection.getresponse()
            data = answer.read(_MOST)
            if answer.status == HTTPStatus.OK and answer.isclosed():
                return data
        except (OSError, HTTPException):  # the store's own way tries again
            pass
        connection.close()  # it opens again by itself
        return None

    def _connection(self, scheme: str, host: str) -> HTTPConnection:
        """This thread's to that host."""
        held: HTTPConnection | None = getattr(self._own, host, None)
        if held is None:
            held = HTTPConnection(host, timeout=_SECONDS)
            if scheme == "https":
                held = HTTPSConnection(host, timeout=_SECONDS, context=self._trusted)
            setattr(self._own, host, held)
            self._opened.append(held)
        return held

    def _ask(self, group: str, key: str) -> _Page:
        """A page that begins with the key: what is asked for is all behind the key's predecessor."""
        before = f"{key[:-1]}{chr(ord(key[-1]) - 1)}~"
        answer = self._store.insist(
            f"list the versions of {group}",
            lambda: self._store.client.list_object_versions(
                Bucket=self._store.bucket, Prefix=group, KeyMarker=before
            ),
        )
        versions: dict[str, list[str]] = {}
        for found in answer.get("Versions", []):
            versions.setdefault(found["Key"], []).append(found["VersionId"])
        end = max(versions, default=key) if answer.get("IsTruncated") else None
        if end is not None:  # its versions may go on in the next page
            versions.pop(end, None)
        return _Page(key, end, versions)
