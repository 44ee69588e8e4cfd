"""Must show 5: `audit` of a copy names the object and the bytes or the field, for each kind of harm."""

from __future__ import annotations

import json
import shutil

import pytest


@pytest.fixture(scope="module")
def copy(site, archive, tmp_path_factory):
    """A copy of the store, with at least one complete capture in it."""
    archive.capture(site.url("/post/2"), code=0)
    folder = tmp_path_factory.mktemp("copy") / "of-the-store"
    assert archive.run("akashi", "store", "copy", "--to", str(folder)).returncode == 0
    return folder


@pytest.fixture
def harmed(copy, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(copy, folder)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    return folder


def findings(archive, folder) -> list:
    done = archive.run("akashi", "audit", "--copy", str(folder), "--json")
    *found, total = (json.loads(line) for line in done.stdout.splitlines())
    assert total["findings"] == len(found)
    assert done.returncode == (1 if found else 0), done.stderr
    return found


def test_a_sound_archive_passes_as_store_and_as_copy(archive, harmed):
    assert archive.run("akashi", "audit").returncode == 0
    assert findings(archive, harmed) == []


@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.999])
def test_a_changed_byte_in_a_warc_is_named_by_object_and_range(archive, harmed, share):
    warc = sorted(harmed.glob("captures/**/*.warc.gz"))[-1]
    data = bytearray(warc.read_bytes())
    place = int(len(data) * share)
    data[place] ^= 1
    warc.write_bytes(data)
    found = [f for f in findings(archive, harmed) if f["object"] == str(warc.relative_to(harmed))]
    assert any(
        f.get("offset") is not None and f["offset"] <= place < f["offset"] + f["length"] for f in found
    ), found


def test_a_changed_field_of_a_manifest_is_named(archive, harmed):
    path = sorted(harmed.glob("captures/**/manifest.json"))[-1]
    text = path.read_text("utf-8")
    document = json.loads(text)
    path.write_text(text.replace(document["request"]["operator"]["name"], "T. Ester"), "utf-8")
    found = [f for f in findings(archive, harmed) if f["object"] == str(path.relative_to(harmed))]
    assert any(f.get("field") for f in found), found


def test_a_changed_byte_in_a_segment_is_named_by_its_entrys_range(archive, harmed):
    segments = sorted((harmed / "ledger/segments").iterdir())
    path = segments[len(segments) // 2]
    data = bytearray(path.read_bytes())
    place = len(data) - 40
    data[place] ^= 1
    path.write_bytes(data)
    found = [f for f in findings(archive, harmed) if f["object"] == str(path.relative_to(harmed))]
    assert any(
        f.get("offset") is not None and f["offset"] <= place < f["offset"] + f["length"] for f in found
    ), found


@pytest.mark.parametrize("which", [0, 1, -2, -1])
def test_a_missing_segment_is_found_the_last_one_too(archive, harmed, which):
    segments = sorted((harmed / "ledger/segments").iterdir())
    segments[which].unlink()
    assert findings(archive, harmed)


def test_a_tail_dropped_with_its_checkpoints_is_found_by_what_the_signer_remembers(archive, harmed):
    segments = sorted((harmed / "ledger/segments").iterdir())
    first = int(segments[-1].name)
    segments[-1].unlink()
    for checkpoint in (harmed / "ledger/checkpoints").iterdir():
        if int(checkpoint.name) > first:
            checkpoint.unlink()
    newest = sorted((harmed / "ledger/checkpoints").iterdir())[-1]
    (harmed / "ledger/checkpoint").write_bytes(newest.read_bytes())
    assert findings(archive, harmed)


def test_segments_in_another_order_are_found(archive, harmed):
    one, other = sorted((harmed / "ledger/segments").iterdir())[1:3]
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)
    assert findings(archive, harmed)


def test_a_duplicated_segment_is_found(archive, harmed):
    last = sorted((harmed / "ledger/segments").iterdir())[-1]
    count = json.loads(last.read_text("utf-8").splitlines()[0])["count"]
    last.with_name(f"{int(last.name) + count:012}").write_bytes(last.read_bytes())
    assert findings(archive, harmed)


def test_a_missing_object_is_named(archive, harmed):
    path = sorted(harmed.glob("captures/**/*.warc.gz"))[0]
    path.unlink()
    assert str(path.relative_to(harmed)) in {f["object"] for f in findings(archive, harmed)}


def test_an_extra_object_is_named(archive, harmed):
    path = sorted(harmed.glob("captures/**/manifest.json"))[0].with_name("planted.json")
    path.write_text("{}")
    assert str(path.relative_to(harmed)) in {f["object"] for f in findings(archive, harmed)}
