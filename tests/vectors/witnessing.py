"""The vectors of witnesses: cosignatures, their keys, and policies. `make.py` writes them with the others."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from evidence.checkpoint import Checkpoint
from evidence.cosignature import cosign_line, cosigner_of
from evidence.note import SignatureLine, SigningKey, sign_note
from tests.evidence import samples

TIME: Final = 1_795_680_789
"""When the vectors' witnesses cosigned, in Unix seconds: 2026-11-26T08:13:09Z."""
UNIVERSITY: Final = SigningKey.from_seed("university.example/w1", bytes(range(64, 96)))
NOTARY: Final = SigningKey.from_seed("notary.example", bytes(range(96, 128)))
PRESS: Final = SigningKey.from_seed("press.example", bytes(range(128, 160)))


def vkey(key: SigningKey) -> str:
    """The vkey of a witness."""
    return cosigner_of(key).vkey


POLICY: Final = f"""\
# two of three partners
log {samples.LOG_KEY.vkey}
witness university {vkey(UNIVERSITY)} https://university.example/w1
witness notary {vkey(NOTARY)}
witness press {vkey(PRESS)}

\tgroup  partners 2 university notary press\x20
quorum partners
"""


def positive(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Path and bytes of what must be accepted."""
    text = checkpoint.body()
    note = sign_note(text, [samples.LOG_KEY]).decode()
    note += cosign_line(UNIVERSITY, text, TIME) + cosign_line(NOTARY, text, TIME + 1)
    return {
        f"cosignature/{checkpoint.size:020d}": note.encode(),
        "keys/witness.vkey": vkey(UNIVERSITY).encode() + b"\n",
        "policy/two-of-three": POLICY.encode(),
        "policy/nobody": b"quorum none\n",
        "policy/names-are-octets": f"witness \N{KELVIN SIGN} {vkey(UNIVERSITY)}\nquorum \N{KELVIN SIGN}\n".encode(),
    }


def negative(checkpoint: Checkpoint) -> dict[str, bytes]:
    """`<reader>/<rule>.<defect>` and bytes of what must be refused."""
    return {
        f"{reader}/{name}": data
        for reader, files in {
            "cosignature": _bad_cosignatures(checkpoint),
            "witness-vkey": _bad_keys(),
            "policy": {
                name: text.encode("utf-8", "surrogateescape") for name, text in _bad_policies().items()
            },
        }.items()
        for name, data in files.items()
    }


def _bad_cosignatures(checkpoint: Checkpoint) -> dict[str, bytes]:
    text = checkpoint.body()
    good = cosign_line(UNIVERSITY, text, TIME)
    signed = sign_note(text, [samples.LOG_KEY]).decode()
    blob = base64.b64decode(good.split(" ")[2])
    other = Checkpoint(checkpoint.origin, checkpoint.size + 1, checkpoint.root).body()

    def below(line: str) -> bytes:
        return (signed + line).encode()

    def of(blob: bytes) -> bytes:
        return below(str(SignatureLine(UNIVERSITY.name, blob[:4], blob[4:])))

    def retimed(time: int) -> bytes:
        return of(blob[:4] + time.to_bytes(8, "big") + blob[12:])

    plain = UNIVERSITY.sign(text.encode())
    namesake = cosign_line(SigningKey.from_seed(UNIVERSITY.name, bytes(32)), text, TIME)
    return {
        "cosignature.back-dated": retimed(TIME - 86400),
        "cosignature.time-bit-flipped": of(blob[:11] + bytes([blob[11] ^ 1]) + blob[12:]),
        "cosignature.time-past-63-bits": below(cosign_line(UNIVERSITY, text, 2**63)),
        "cosignature.of-another-body": below(cosign_line(UNIVERSITY, other, TIME)),
        "cosignature.by-another-key": of(blob[:4] + base64.b64decode(namesake.split(" ")[2])[4:]),
        "cosignature.without-time": of(blob[:4] + blob[12:]),
        "cosignature.long": of(blob + b"\0"),
        "cosignature.plain-signature-under-the-id": of(blob[:4] + TIME.to_bytes(8, "big") + plain),
        "cosignature-twice.same-line": below(good + good),
        "cosignature-twice.two-times": below(good + cosign_line(UNIVERSITY, text, TIME + 1)),
        "cosignature-future.year-2100": below(cosign_line(UNIVERSITY, text, 4_102_444_800)),
        "signature-line.cut": below(good[:-3] + "\n"),
        "form.no-newline-at-end": below(good)[:-1],
    }


def _bad_keys() -> dict[str, bytes]:
    name, public = UNIVERSITY.name, UNIVERSITY.verifier.public

    def of(public: bytes, algorithm: int = 4) -> bytes:
        # The id is right, so that nothing but the key itself can be the reason.
        blob = bytes([algorithm]) + public
        digest = hashlib.sha256(name.encode() + b"\n" + blob).hexdigest()[:8]
        return f"{name}+{digest}+{base64.b64encode(blob).decode()}".encode()

    as_log = UNIVERSITY.vkey.split("+")[1]
    return {
        "vkey.of-a-log": of(public, algorithm=1),
        "vkey.ml-dsa-44": of(bytes(1312), algorithm=6),
        "vkey.id-of-the-log-key": vkey(UNIVERSITY).replace(vkey(UNIVERSITY).split("+")[1], as_log).encode(),
        "key.identity-point": of(bytes([1]) + bytes(31)),
        "key.order-8": of(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")),
    }


def _bad_policies() -> dict[str, str]:
    one, two = (f"witness {name} {vkey(key)}\n" for name, key in (("w1", UNIVERSITY), ("w2", NOTARY)))
    log, renamed = f"log {samples.LOG_KEY.vkey}\n", SigningKey.from_seed("impostor.example", UNIVERSITY.seed)
    return {
        "policy-octet.carriage-return": "quorum none\r\n",
        "policy-octet.nul": "quorum none\n\0",
        "policy-newline.cut": (one + "quorum w1")[:-1],
        "policy-newline.empty": "",
        "policy-line.unknown": "quibble w1\nquorum none\n",
        "policy-line.comment-behind": f"{one[:-1]} https://w1.example # ours\nquorum w1\n",
        "policy-line.log-without-key": "log\nquorum none\n",
        "policy-line.witness-without-key": "witness w1\nquorum none\n",
        "policy-line.quorum-without-name": "quorum\n",
        "policy-line.quorum-of-two": one + two + "quorum w1 w2\n",
        "policy-line.group-without-members": one + "group g 1\nquorum w1\n",
        "policy-line.no-break-space": one + "quorum\N{NO-BREAK SPACE}w1\n",
        "policy-key.garbage": "log garbage\nquorum none\n",
        "policy-key.log-with-a-witness-key": f"log {vkey(UNIVERSITY)}\nquorum none\n",
        "policy-key.witness-with-a-log-key": f"witness w1 {UNIVERSITY.vkey}\nquorum w1\n",
        "policy-key.small-order": f"witness w1 {_bad_keys()['key.order-8'].decode()}\nquorum w1\n",
        "policy-key.name-not-utf-8": one.replace("university", "\udcff") + "quorum w1\n",
        "policy-duplicate.log": log + log + "quorum none\n",
        "policy-duplicate.witness-under-two-names": one + f"witness w2 {vkey(renamed)}\nquorum w1\n",
        "policy-name.none": one.replace("w1", "none", 1) + "quorum none\n",
        "policy-name.witness-twice": one + two.replace("w2", "w1", 1) + "quorum w1\n",
        "policy-name.group-named-as-a-witness": one + "group w1 any w1\nquorum w1\n",
        "policy-name.group-named-none": one + "group none any w1\nquorum none\n",
        "policy-name.member-unknown": one + "group g any w2\nquorum g\n",
        "policy-name.member-defined-below": "group g any w1\n" + one + "quorum g\n",
        "policy-name.member-none": one + "group g any none w1\nquorum g\n",
        "policy-name.group-in-itself": one + "group g any g w1\nquorum g\n",
        "policy-name.quorum-unknown": "quorum w1\n",
        "policy-name.quorum-defined-below": "quorum w1\n" + one,
        "policy-name.kelvin-sign": one.replace("w1", "K", 1) + "quorum \N{KELVIN SIGN}\n",
        "policy-group.member-twice": one + "group g all w1 w1\nquorum g\n",
        "policy-group.member-of-two-groups": one + two + "group g any w1 w2\ngroup h any w1\nquorum g\n",
        "policy-group.threshold-zero": one + "group g 0 w1\nquorum g\n",
        "policy-group.threshold-negative": one + "group g -1 w1\nquorum g\n",
        "policy-group.threshold-above-members": one + "group g 2 w1\nquorum g\n",
        "policy-group.threshold-with-zero-before": one + "group g 01 w1\nquorum g\n",
        "policy-group.threshold-of-5000-digits": one + f"group g {'9' * 5000} w1\nquorum g\n",
        "policy-group.threshold-in-words": one + "group g most w1\nquorum g\n",
        "policy-quorum.none-defined": one,
        "policy-quorum.twice": one + "quorum w1\nquorum w1\n",
    }
