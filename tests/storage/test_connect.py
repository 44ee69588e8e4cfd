"""From settings to a store: buckets, credentials, what a profile refuses."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from evidence.digests import digest_bytes
from evidence.errors import StoreUnavailableError, UsageError
from evidence.identifiers import new_ulid
from storage import connect
from storage.connect import open_store
from storage.home import Home
from storage.objects import Abilities
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
from storage.settings import Settings
from tests.storage.relay import TlsRelay


@pytest.fixture
def settings(home: Home, endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AKASHI_STORE_ACCESS_KEY", endpoint.access_key)
    monkeypatch.setenv("AKASHI_STORE_SECRET_KEY", endpoint.secret_key)
    return Settings(home=home, store_endpoint=endpoint.url, store_bucket=f"test-{new_ulid().lower()}")


def count_probes(monkeypatch: pytest.MonkeyPatch, found: Abilities | None = None) -> list[str]:
    seen: list[str] = []

    def probe(store: S3Store) -> Abilities:
        seen.append(store.bucket)
        return found or Abilities()

    monkeypatch.setattr(connect, "probe", probe)
    return seen


def test_a_new_bucket_is_made_with_versions_and_lock(settings: Settings) -> None:
    store = open_store(settings)
    assert store.client.get_bucket_versioning(Bucket=store.bucket)["Status"] == "Enabled"
    lock = store.client.get_object_lock_configuration(Bucket=store.bucket)["ObjectLockConfiguration"]
    assert lock["ObjectLockEnabled"] == "Enabled"
    assert store.custody() == {
        "abilities": {"checksum_sha256": True, "create_only": True, "object_lock": True, "versioning": True},
        "bucket": settings.store_bucket,
        "endpoint_kind": "configured",
        "profile": "governance",
    }
    stored = store.put_once("crawls/a", b"a", digest_bytes(b"a"), content_type="text/plain")
    assert open_store(settings).read("crawls/a", stored.version) == b"a"


def test_what_a_probe_found_is_remembered_for_a_day_and_for_this_bucket_only(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = count_probes(monkeypatch)
    open_store(settings)
    open_store(settings)
    assert len(seen) == 1
    open_store(replace(settings, store_bucket=f"{settings.store_bucket}-2"))
    assert len(seen) == 2
    path = settings.home.root / "probe.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "probed": 0}))
    open_store(replace(settings, store_bucket=f"{settings.store_bucket}-2"))
    path.write_text("torn")
    open_store(replace(settings, store_bucket=f"{settings.store_bucket}-2"))
    assert len(seen) == 4


def test_a_store_that_overwrites_is_refused_always_one_that_cannot_lock_by_the_legal_profile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_probes(monkeypatch, Abilities(create_only=False))
    with pytest.raises(StoreUnavailableError, match="overwrites objects"):
        open_store(settings)
    (settings.home.root / "probe.json").unlink()
    count_probes(monkeypatch, Abilities(object_lock=False))
    assert open_store(settings).abilities.lacking() == ("object_lock",)
    with pytest.raises(StoreUnavailableError, match=r"legal profile needs what .* lacks: object_lock"):
        open_store(replace(settings, store_profile="legal"))


def test_without_object_lock_objects_are_stored_without_a_lock(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_probes(monkeypatch, Abilities(object_lock=False))
    stored = open_store(settings).put_once("crawls/a", b"a", digest_bytes(b"a"), content_type="text/plain")
    assert stored.retain_until is None


def test_credentials_may_lie_in_a_private_file(
    settings: Settings, endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_probes(monkeypatch)
    monkeypatch.delenv("AKASHI_STORE_ACCESS_KEY")
    monkeypatch.delenv("AKASHI_STORE_SECRET_KEY")
    path: Path = settings.home.root / "store-credentials"
    path.write_text(f"{endpoint.access_key}\n{endpoint.secret_key}\n")
    path.chmod(0o644)
    with pytest.raises(UsageError, match="may be read by others") as told:
        open_store(settings)
    assert told.value.next == f"chmod 600 {path}"
    path.chmod(0o600)
    open_store(settings)
    monkeypatch.setenv("AKASHI_STORE_ACCESS_KEY", "only this one")
    with pytest.raises(UsageError, match="one of the store's two keys is missing"):
        open_store(settings)


def test_settings_that_cannot_be_are_told(settings: Settings) -> None:
    with pytest.raises(UsageError, match="store_retention_days"):
        open_store(replace(settings, store_retention_days=0))
    with pytest.raises(UsageError, match="no S3 client for 'not a url'"):
        open_store(replace(settings, store_endpoint="not a url"))


def test_a_store_behind_tls_is_reached_when_its_authority_is_known_and_refused_otherwise(
    settings: Settings, endpoint: S3Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_probes(monkeypatch)
    with TlsRelay(tmp_path, int(endpoint.url.rpartition(":")[2])) as relay:
        over_tls = replace(settings, store_endpoint=relay.url)
        with pytest.raises(StoreUnavailableError, match="SSL validation failed") as told:
            open_store(over_tls)
        assert "AWS_CA_BUNDLE" in told.value.next
        monkeypatch.setenv("AWS_CA_BUNDLE", str(relay.ca))
        store = open_store(over_tls)
        data = bytes(range(256)) * 4000
        store.put_once("crawls/a", data, digest_bytes(data), content_type="text/plain")
        assert store.read("crawls/a") == data
        assert store.custody()["endpoint_kind"] == "configured"
        store.close()


def test_a_store_that_nobody_listens_for_is_told_within_ten_seconds(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connect.FIRST_CONTACT <= 8
    monkeypatch.setattr(connect, "FIRST_CONTACT", 0.2)
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"cannot open the bucket \S+: Could not connect") as told:
        open_store(replace(settings, store_endpoint="http://127.0.0.1:9"))
    assert time.monotonic() - began < connect.FIRST_CONTACT + 2
    assert told.value.next
