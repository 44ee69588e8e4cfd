"""Does pymerkle, a Merkle tree library of strangers, agree with Akashi's proof? It knows no signatures.

    build/independent/venv/bin/python check_pymerkle.py VKEY entry.tlog-proof entry.json [prev.json]

Its indices count from 1, its paths begin with the leaf's hash, and its own layout says which side each hash is on.
"""

import json
import sys
from base64 import b64decode
from pathlib import Path

from pymerkle import InvalidProof, verify_inclusion
from pymerkle.core import _inclusion_path_layout
from pymerkle.hasher import MerkleHasher
from pymerkle.proof import InclusionProof

HASHER = MerkleHasher("sha256", security=True)


def check(proof_file: str, entry_file: str, before_file: str | None) -> str:
    """One line of good news. Raises InvalidProof or ValueError."""
    entry = Path(entry_file).read_bytes()
    head, _, checkpoint = Path(proof_file).read_text("utf-8").partition("\n\n")
    _form, *lines = [line for line in head.split("\n") if not line.startswith("extra ")]
    index = int(lines[0].removeprefix("index "))
    _origin, size, root = checkpoint.split("\n")[:3]
    if not index < int(size):
        raise InvalidProof("no such index")
    leaf = HASHER.hash_buff(entry)
    rule, _ = _inclusion_path_layout(index + 1, int(size))
    path = [leaf, *(b64decode(line, validate=True) for line in lines[1:])]
    proof = InclusionProof("sha256", True, int(size), index + 1, rule, path)
    verify_inclusion(leaf, b64decode(root, validate=True), proof, index + 1, int(size), "sha256")
    said = json.loads(entry)
    before = HASHER.hash_buff(Path(before_file).read_bytes()).hex() if before_file else "0" * 64
    if (said["index"], said["prev"]) != (index, before):
        raise InvalidProof("chain: it does not name that entry before it")
    return f"OK entry {index} of {size}"


if __name__ == "__main__":
    try:
        print(check(*sys.argv[2:4], sys.argv[4] if len(sys.argv) > 4 else None))  # noqa: T201
    except (InvalidProof, ValueError) as error:
        sys.exit(f"FAIL: {error}")
