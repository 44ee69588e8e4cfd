"""The probe finds what a store does by doing it; stores that lie are played by a lying client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from storage.objects import Abilities
from storage.probe import _Probe, probe
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
from tests.storage.samples import new_store


class LyingClient:
    """A client of the real store that quietly leaves out some arguments, as some stores ignore them."""

    def __init__(self, client: Any, *ignored: str) -> None:
        self._client = client
        self._ignored = ignored

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        return lambda **given: real(
            **{key: value for key, value in given.items() if key not in self._ignored}
        )


def test_seaweedfs_is_found_to_do_everything_and_nothing_is_left_behind(store: S3Store) -> None:
    assert probe(store) == Abilities(
        create_only=True, versioning=True, object_lock=True, checksum_sha256=True
    )
    assert list(store.list("probe/")) == []
    assert not store.client.list_object_versions(Bucket=store.bucket).get("Versions")


@pytest.mark.parametrize(
    ("ability", "ignored"),
    [
        (_Probe.create_only, ("IfNoneMatch",)),
        (_Probe.object_lock, ("ObjectLockMode", "ObjectLockRetainUntilDate")),
        (_Probe.checksum, ("ChecksumSHA256",)),
    ],
)
def test_an_ability_that_the_store_only_pretends_is_found_lacking(
    one_bucket: S3Store, ability: Callable[[_Probe], bool], ignored: tuple[str, ...]
) -> None:
    store = new_store(one_bucket.endpoint, one_bucket.bucket)
    store.client = LyingClient(store.client, *ignored)  # type: ignore[assignment]
    assert not ability(_Probe(store))


def test_a_bucket_without_versions_is_found_out(endpoint: S3Endpoint) -> None:
    store = new_store(endpoint, "unversioned")
    store.client.create_bucket(Bucket=store.bucket)
    assert set(probe(store).lacking()) >= {"versioning", "object_lock"}
