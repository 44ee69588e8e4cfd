"""What a stranger is given: an entry, the one before, a proof and a timestamp, whole or with one thing wrong.

The tree is computed here as RFC 6962 §2.1 writes it down, by recursion and without a line of `evidence`, so that a
proof of Akashi's has something to agree with that is not Akashi.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from evidence.checkpoint import Checkpoint
from evidence.note import SigningKey, sign_note
from evidence.tlog_proof import TlogProof
from tests.evidence import samples
from tests.evidence.archives import Log, capture_id, started_body


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    split = _split(len(leaves))
    return hashlib.sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:])).digest()


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962 §2.1.1: from the leaf's sibling up."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*path(index, leaves[:split]), root(leaves[split:])]
    return [*path(index - split, leaves[split:]), root(leaves[:split])]


def _split(size: int) -> int:
    """The largest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1


@dataclass(frozen=True)
class Exhibit:
    vkey: str
    entry: bytes
    before: bytes | None
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    query: bytes = b""
    token: bytes = b""
    """A timestamp request and response over the checkpoint's bytes."""
    altered: bytes = b""
    """The proof's bytes where they are not what the rest gives."""

    def proof(self) -> bytes:
        """c2sp.org/tlog-proof@v1."""
        if self.altered:
            return self.altered
        lines = [
            "c2sp.org/tlog-proof@v1",
            f"index {self.index}",
            *(base64.b64encode(h).decode() for h in self.path),
        ]
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint

    def write(self, folder: Path) -> list[str]:
        """Files for a checker, as its arguments."""
        parts = {"entry.tlog-proof": self.proof(), "entry.json": self.entry, "checkpoint": self.checkpoint}
        parts |= {"checkpoint.tsq": self.query, "checkpoint.tsr": self.token}
        if self.before is not None:
            parts["prev.json"] = self.before
        for name, data in parts.items():
            (folder / name).write_bytes(data)
        names = [
            "entry.tlog-proof",
            "entry.json",
            *(["prev.json"] if self.before is not None else []),
        ]
        return [self.vkey, *(str(folder / name) for name in names)]


def entries_of(size: int) -> list[bytes]:
    """A log of that many entries, as Akashi writes them."""
    log = Log()
    log.open()
    while len(log.entries) < size:
        log.append("capture.started", capture_id(len(log.entries) % 90 + 10), started_body())
    return log.entries[:size]


def read_exhibit(folder: Path, vkey: str) -> Exhibit:
    """What `akashi ledger prove` wrote."""
    proof = TlogProof.decode((folder / "entry.tlog-proof").read_bytes())
    before = (folder / "prev.json").read_bytes() if proof.index else None
    return Exhibit(
        vkey, (folder / "entry.json").read_bytes(), before, proof.index, proof.path, proof.checkpoint
    )


def exhibit(index: int, entries: Sequence[bytes]) -> Exhibit:
    leaves = [leaf(entry) for entry in entries]
    note = sign_note(Checkpoint(samples.ORIGIN, len(entries), root(leaves)).body(), [samples.LOG_KEY])
    before = entries[index - 1] if index else None
    return Exhibit(samples.LOG_KEY.vkey, entries[index], before, index, tuple(path(index, leaves)), note)


class Authority:
    """A timestamp authority of openssl's, with a root of its own: `openssl ts -reply`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ts.cnf").write_text(_CONFIGURATION, "utf-8")
        self._openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout ca.key -out ca.pem"
                      " -config ts.cnf -subj /CN=root -extensions authority")  # fmt: skip
        self._openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ts.key -out ts.csr"
                      " -config ts.cnf -subj /CN=clock")  # fmt: skip
        self._openssl(
            "x509 -req -in ts.csr -CA ca.pem -CAkey ca.key -days 20 -out ts.pem -extfile ts.cnf -extensions clock"
        )

    @property
    def root(self) -> Path:
        return self.folder / "ca.pem"

    def stamp(self, data: bytes) -> tuple[bytes, bytes]:
        """Request and response over these bytes."""
        (self.folder / "data").write_bytes(data)
        self._openssl("ts -query -data data -sha256 -cert -out data.tsq")
        self._openssl("ts -reply -config ts.cnf -section tsa -queryfile data.tsq -out data.tsr")
        return (self.folder / "data.tsq").read_bytes(), (self.folder / "data.tsr").read_bytes()

    def _openssl(self, command: str) -> None:
        done = subprocess.run(
            ["openssl", *command.split()], cwd=self.folder, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


_CONFIGURATION: Final = """
[req]
distinguished_name = dn
[dn]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[clock]
basicConstraints = CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
dir = .
serial = serial
signer_cert = ts.pem
certs = ca.pem
signer_key = ts.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _reworded(whole: Exhibit, line: int, words: str) -> Exhibit:
    """The checkpoint with another first, second or third line, under the same signature."""
    lines = whole.checkpoint.decode().split("\n")
    lines[line] = words
    return replace(whole, checkpoint="\n".join(lines).encode())


def _resigned(whole: Exhibit) -> Exhibit:
    """The checkpoint signed by another key of the same name."""
    text = whole.checkpoint.decode().partition("\n\n")[0] + "\n"
    stranger = SigningKey.from_seed(text.split("\n")[0], bytes(range(64, 96)))
    return replace(whole, checkpoint=sign_note(text, [stranger]))


def _badly_signed(whole: Exhibit) -> Exhibit:
    """One bit of the log's signature is another."""
    text, _, line = whole.checkpoint.decode().rpartition(" ")
    blob = base64.b64encode(flipped(base64.b64decode(line), 40)).decode()
    return replace(whole, checkpoint=f"{text} {blob}\n".encode())


_INCLUSION: Final = frozenset({"verify.sh", "go", "npm", "pymerkle"})
_SIGNATURE: Final = frozenset(
    {"verify.sh", "go", "npm", "openssl-ts"}
)  # a timestamp is over the whole signed note
_TIME: Final = frozenset({"openssl-ts"})

TAMPERED: Final[dict[str, tuple[Callable[[Exhibit], Exhibit], frozenset[str]]]] = {
    "entry-byte": (lambda e: replace(e, entry=e.entry.replace(b"2026", b"2025", 1)), _INCLUSION),
    "entry-longer": (lambda e: replace(e, entry=e.entry + b"\n"), _INCLUSION),
    "path-hash": (lambda e: replace(e, path=(e.path[0], flipped(e.path[1], 9), *e.path[2:])), _INCLUSION),
    "path-short": (lambda e: replace(e, path=e.path[:-1]), _INCLUSION),
    "path-long": (lambda e: replace(e, path=(*e.path, e.path[-1])), _INCLUSION),
    "path-order": (lambda e: replace(e, path=e.path[::-1]), _INCLUSION),
    "index-next": (lambda e: replace(e, index=e.index + 1), _INCLUSION),
    "index-beyond": (lambda e: replace(e, index=e.index + 1000), _INCLUSION),
    "before-byte": (lambda e: replace(e, before=flipped(e.before or b"", 30)), _INCLUSION),
    "before-self": (lambda e: replace(e, before=e.entry), _INCLUSION),
    "checkpoint-root": (
        lambda e: _reworded(e, 2, base64.b64encode(bytes(32)).decode()),
        _INCLUSION | _SIGNATURE,
    ),
    "checkpoint-size": (lambda e: _reworded(e, 1, "5000"), _INCLUSION | _SIGNATURE),
    "checkpoint-origin": (lambda e: _reworded(e, 0, "elsewhere.invalid/1"), _SIGNATURE),
    "signature-bit": (_badly_signed, _SIGNATURE),
    "signature-other-key": (_resigned, _SIGNATURE),
    "token-byte": (lambda e: replace(e, token=flipped(e.token, len(e.token) - 20)), _TIME),
    "token-of-other-bytes": (lambda e: replace(e, token=e.query), _TIME),
}
"""What is wrong, how it is made wrong, and who claims to see it; the others must not."""
