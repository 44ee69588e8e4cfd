"""From settings to a store that was reached, has its bucket, and is known for what it can do.

    <home>/probe.json    {"abilities": {…}, "bucket": …, "endpoint": …, "probed": Unix seconds}

may be lost and is trusted for a day: whoever can write it can write the keys beside it.
"""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import asdict
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from evidence.errors import StoreUnavailableError, UsageError
from storage.embedded import EmbeddedStore
from storage.files import write_private
from storage.objects import Abilities
from storage.probe import probe
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint, code_of, status_of
from storage.settings import Settings

FIRST_CONTACT: Final = 8.0
"""Seconds for which a store is tried that never answered yet: a wrong address is told soon."""
PATIENCE: Final = 60.0
"""Seconds for which a request is tried again once the store has answered: it may be restarting."""
PROBED_FOR: Final = 24 * 3600
"""Seconds for which what a probe found is believed; `akashi doctor` probes anew each time."""


def open_store(settings: Settings) -> S3Store:
    """The store that the settings name: started if it is ours, its bucket made if it is not there.

    Raises StoreUnavailableError for a store that cannot be reached or lacks what evidence needs,
    UsageError for settings that cannot be.
    """
    if settings.store_retention_days < 1:
        raise UsageError("store_retention_days must be at least 1", next="correct store_retention_days")
    embedded = None if settings.store_endpoint else EmbeddedStore(settings.home)
    store = S3Store(
        embedded.start() if embedded else _configured(settings),
        settings.store_bucket,
        retention=timedelta(days=settings.store_retention_days),
        compliance=settings.store_profile == "legal",
        patience=FIRST_CONTACT,
        revive=embedded.start if embedded else None,
        release=embedded.release if embedded else None,
    )
    store.insist(f"open the bucket {store.bucket}", lambda: _ensure_bucket(store))
    store.abilities = _known_abilities(store, settings.home.root / "probe.json")
    _refuse_lacking(store)
    store.patience = PATIENCE
    return store


def _configured(settings: Settings) -> S3Endpoint:
    """Keys from the AKASHI_STORE_… variables, else two lines of a 0600 file, else boto3's own chain.

    Raises UsageError for one without the other and for a file that others may read.
    """
    path: Path = settings.home.root / "store-credentials"
    access, secret = (os.environ.get(f"AKASHI_STORE_{name}_KEY", "") for name in ("ACCESS", "SECRET"))
    if not access and not secret and path.exists():
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(f"{path} may be read by others", next=f"chmod 600 {path}")
        access, _, secret = path.read_text("utf-8").strip().partition("\n")
    if bool(access) != bool(secret):
        raise UsageError(
            "one of the store's two keys is missing",
            next="set AKASHI_STORE_ACCESS_KEY and AKASHI_STORE_SECRET_KEY",
        )
    return S3Endpoint(settings.store_endpoint, access, secret, settings.store_region, "configured")


def _ensure_bucket(store: S3Store) -> None:
    """Make the bucket with Object Lock, which brings versioning; one that exists is left as it is."""
    try:
        store.client.head_bucket(Bucket=store.bucket)
    except ClientError as error:
        if status_of(error) != HTTPStatus.NOT_FOUND:
            raise
    else:
        return
    region = store.endpoint.region
    located: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        store.client.create_bucket(
            Bucket=store.bucket, ObjectLockEnabledForBucket=True, **({} if region == "us-east-1" else located)
        )
    except ClientError as error:
        if code_of(error) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise  # else a rival starter made it a moment ago, or head_bucket lied: the probe will tell


def _known_abilities(store: S3Store, path: Path) -> Abilities:
    now = int(time.time())
    try:
        known = json.loads(path.read_bytes())
        same = (known["endpoint"], known["bucket"]) == (store.endpoint.url, store.bucket)
        if same and 0 <= now - known["probed"] < PROBED_FOR:
            return Abilities(**known["abilities"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass  # nothing usable is remembered: find out
    abilities = probe(store)
    known = {"bucket": store.bucket, "endpoint": store.endpoint.url, "probed": now}
    write_private(path, json.dumps({"abilities": asdict(abilities), **known}, sort_keys=True).encode())
    return abilities


def _refuse_lacking(store: S3Store) -> None:
    """Refuse a store that overwrites what it was told to create, and for `legal` one that lacks anything."""
    lacking = store.abilities.lacking()
    if not store.abilities.create_only:
        raise StoreUnavailableError(
            f"the store at {store.endpoint.url} overwrites objects that it was told only to create",
            next="use a store with conditional writes: docs/formats/store.md names some",
        )
    if lacking and store.profile == "legal":
        raise StoreUnavailableError(
            f"the legal profile needs what the store at {store.endpoint.url} lacks: {', '.join(lacking)}",
            next="use another store, or store_profile = governance",
        )
