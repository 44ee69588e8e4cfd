from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.canonical import canonical, field_at
from evidence.clock import clock_block
from evidence.digests import digest_bytes
from evidence.errors import ManifestError
from evidence.manifest import parse_manifest, request_digests, reseal, seal, sealed_form
from evidence.manifest_shape import CLOCK, WarcFacts
from evidence.shape import require
from tests.evidence.archives import capture_id, warc_and_manifest, warc_key
from tests.evidence.samples import CAPTURE, FOLDER, REQUEST, sealed_facts

FINAL = warc_and_manifest(capture_id(10), 2)[1]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(texts, st.dictionaries(texts, json_values, max_size=4), st.integers(0, 2**53 - 1))
def test_sealed_and_final_form_are_rebuilt_from_one_another(
    title: str, browser: dict[str, Any], size: int
) -> None:
    facts = sealed_facts()
    facts["target"]["title"], facts["browser"] = title, browser
    warc: WarcFacts = {
        "key": f"{FOLDER}a.warc.gz",
        "records": 3,
        "sha256": "a" * 64,
        "sha512": "b" * 128,
        "size": size,
    }
    sealed = seal(facts)
    manifest = parse_manifest(reseal(sealed, warc))
    assert sealed_form(manifest) == sealed
    assert manifest.warc == warc
    assert manifest.document["browser"] == browser
    assert (manifest.id, manifest.outcome) == (CAPTURE, "complete")


@given(st.integers(0, len(FINAL) - 1), st.integers(0, 255))
def test_every_byte_of_a_manifest_lies_in_a_field_of_that_name(offset: int, byte: int) -> None:
    field = field_at(FINAL, offset)
    assert field or offset in {0, len(FINAL) - 1}
    changed = FINAL[:offset] + bytes([byte]) + FINAL[offset + 1 :]
    try:
        before, after = json.loads(FINAL), json.loads(changed)
    except ValueError:
        return
    for key in {*before, *after}:
        if before.get(key) != after.get(key) and key in before:
            assert field.split(".")[0].split("[")[0] in {key, *(set(before) - set(after))}


def test_fields_are_found_by_hand() -> None:
    data = b'{"a":[1,{"b":"x,\\"}"}],"c":{}}'
    where = {
        0: "",
        1: "a",
        5: "a",
        6: "a[0]",
        7: "a[1]",
        8: "a[1]",
        9: "a[1].b",
        17: "a[1].b",
        21: "a",
        22: "c",
        23: "c",
        27: "c",
        30: "",
    }
    assert {offset: field_at(data, offset) for offset in where} == where


@pytest.mark.parametrize("key", sorted(sealed_facts()))
def test_no_key_may_lack_when_sealing(key: str) -> None:
    facts: dict[str, Any] = dict(sealed_facts())
    del facts[key]
    with pytest.raises(ManifestError) as caught:
        seal(facts)
    assert caught.value.field == key


def test_a_refusal_names_the_field_down_to_the_list_item() -> None:
    facts = sealed_facts()
    facts["steps"][1]["started"] = "yesterday"
    with pytest.raises(ManifestError) as caught:
        seal(facts)
    assert caught.value.field == "steps[1].started"


def test_a_manifest_that_could_not_be_read_again_is_not_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = sealed_facts()
    monkeypatch.setattr("evidence.manifest.MAX_MANIFEST", len(seal(facts)) + 4096)
    seal(facts)
    facts["request"]["note"] += "x"
    with pytest.raises(ManifestError) as caught:
        seal(facts)
    assert caught.value.rule == "manifest-size"


def test_what_is_resealed_must_be_sealed_and_agree() -> None:
    warc = json.loads(FINAL)["warc"]
    with pytest.raises(ManifestError):
        reseal(FINAL, warc)
    with pytest.raises(ManifestError) as caught:
        reseal(sealed_form(parse_manifest(FINAL)), warc | {"key": warc_key(capture_id(11))})
    assert caught.value.field == "warc.key"


def test_the_request_is_digested_in_canonical_form() -> None:
    assert request_digests(REQUEST) == digest_bytes(canonical(REQUEST))
    with pytest.raises(ManifestError) as caught:
        request_digests({**REQUEST, "salt": ""})
    assert caught.value.field == "request.salt"


def test_the_record_ids_of_files_and_media_are_gathered() -> None:
    facts = sealed_facts()
    file = {"name": "dom.html", "role": "dom", "type": "text/html", "size": 1, "sha256": "a" * 64}
    facts["files"] = [{**file, "record": "<urn:uuid:1>"}, {**file, "record": None}]
    sealed = seal(facts)
    warc: WarcFacts = {
        "key": f"{FOLDER}a.warc.gz",
        "records": 3,
        "sha256": "a" * 64,
        "sha512": "b" * 128,
        "size": 1,
    }
    assert parse_manifest(reseal(sealed, warc)).record_ids == {"<urn:uuid:1>"}


def test_the_clock_block_is_of_its_declared_shape() -> None:
    block = clock_block(datetime(2026, 11, 23, 8, 13, tzinfo=timezone(timedelta(hours=9))))
    require(block, CLOCK, ManifestError, rule="x")
    assert block["read_at"] == "2026-11-22T23:13:00.000Z"
    assert clock_block(datetime.now(UTC))["monotonic_us"] >= block["monotonic_us"]


def test_the_crawl_that_found_it_may_be_named_and_nothing_else() -> None:
    crawl = {"id": capture_id(13), "warc": "crawls/2026/11/23/akashi-crawl-20261123T081300Z-a.warc.gz"}
    found = REQUEST | {"found_by": REQUEST["found_by"] | {"crawl": crawl}}
    assert request_digests(found) != request_digests(REQUEST)
    with pytest.raises(ManifestError, match="not declared"):
        request_digests(REQUEST | {"found_by": REQUEST["found_by"] | {"crawl": crawl | {"more": 1}}})
