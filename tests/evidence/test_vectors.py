"""The golden bytes: what must never change, and what must never be accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence import canonical
from evidence.checkpoint import parse_checkpoint
from evidence.entry import ENTRY_TYPES, Entry
from evidence.errors import CheckFailedError
from evidence.manifest import parse_manifest
from evidence.note import VerifierKey
from evidence.segment import parse_segment
from evidence.tiles import bundle_path, decode_bundle, decode_tile, tile_path
from evidence.tlog_proof import TlogProof
from evidence.tree import leaf_hash, root_of
from tests.evidence import samples
from tests.vectors import make

VECTORS = Path(make.__file__).parent
NEGATIVES = sorted(path for path in VECTORS.glob("negative/*/*") if path.is_file())
READERS: dict[str, Callable[[bytes], Any]] = {
    "canonical": canonical.parse,
    "entry": Entry.decode,
    "segment": parse_segment,
    "vkey": lambda data: VerifierKey.parse(data.decode()),
    "checkpoint": lambda data: parse_checkpoint(data, [samples.LOG_KEY.verifier]),
    "manifest": parse_manifest,
}


def test_the_script_gives_exactly_the_committed_bytes() -> None:
    made = make.positive() | make.negative()
    held = {
        str(path.relative_to(VECTORS)): path.read_bytes()
        for path in VECTORS.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert sorted(held) == sorted(made)
    assert [name for name in made if held[name] != made[name]] == []


def test_tile_bundle_and_proof_hold_the_nine_entries_of_the_checkpoint() -> None:
    entries = [path.read_bytes() for path in sorted(VECTORS.glob("entry/*.json"))][:9]
    leaves = decode_tile((VECTORS / tile_path(0, 0, 9)).read_bytes(), 9)
    assert decode_bundle((VECTORS / bundle_path(0, 9)).read_bytes(), 9) == entries
    assert leaves == [leaf_hash(entry) for entry in entries]
    proof = TlogProof.decode((VECTORS / "tlog-proof/04-capture.completed.tlog-proof").read_bytes())
    checkpoint = proof.check(entries[4], [samples.LOG_KEY.verifier])
    assert (checkpoint.size, checkpoint.root) == (9, root_of(leaves))
    assert proof.checkpoint == (VECTORS / "checkpoint/00000000000000000009").read_bytes()


def test_there_is_an_entry_of_every_type() -> None:
    types = {Entry.decode(path.read_bytes()).type for path in VECTORS.glob("entry/*.json")}
    assert types == ENTRY_TYPES


@pytest.mark.parametrize("path", NEGATIVES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_each_defect_is_refused_by_the_rule_that_names_it(path: Path) -> None:
    with pytest.raises(CheckFailedError) as caught:
        READERS[path.parent.name](path.read_bytes())
    assert caught.value.rule == path.name.partition(".")[0], caught.value.detail
