"""The bodies of `key.*` entries, and what the signatures in them say.

    key.added        {role, vkey}                              of a collector or a witness: the log vouches
                     {role, vkey, signature, acceptance}       of a recovery key: by a log key; by itself
    key.rotated      {role, old, new, signature, acceptance}   by the old key or a recovery key; by the new
    key.retired      {role, vkey}                              signs nothing from this entry on
    key.compromised  {role, vkey, since}                       nor counts what it signed after `since`

What is signed (DSSE, kind `application/vnd.akashi.key+json`) is the canonical JSON of the body without
its signatures, with the index, origin and type of the entry, so that no signature fits another place:

    {"index":9,"new":"…","old":"…","origin":"akashi.invalid/5f2c61d0","role":"log","type":"key.rotated"}

`acceptance` is why nobody can name a stranger's key as the successor of his own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from evidence import dsse
from evidence.canonical import canonical
from evidence.dsse import SIGNATURE
from evidence.errors import NoteError, SignatureError
from evidence.note import SigningKey, VerifierKey, unbase64
from evidence.shape import Scalar, Utc, one_of

_COSIGNATURE: Final = b"\x04"
"""The algorithm byte of a witness's vkey (c2sp.org/tlog-cosignature v1.0.1, "Format")."""


def is_vkey(text: str) -> bool:
    """Whether the text is the vkey of a key that signs notes."""
    try:
        VerifierKey.parse(text)
    except NoteError:
        return False
    return True


def public_half(vkey: str) -> bytes:
    """The 32 bytes of the key, whatever it signs. Raises NoteError for what is no vkey."""
    name, key_id, encoded, *_ = (*vkey.split("+", 2), "", "")
    blob = unbase64(encoded) or b""
    if blob[:1] != _COSIGNATURE:
        return VerifierKey.parse(vkey).public
    public = VerifierKey(name, blob[1:]).public
    if hashlib.sha256(name.encode() + b"\n" + blob).hexdigest()[:8] != key_id:
        raise NoteError("the vkey's id is not its key's", rule="vkey")
    return public


def _is_any_vkey(text: str) -> bool:
    try:
        return len(public_half(text)) == 32  # noqa: PLR2004 - Ed25519
    except NoteError:
        return False


VKEY: Final = Scalar(str, "the vkey of an Ed25519 key", is_vkey)
_ANY_VKEY: Final = Scalar(str, "the vkey of an Ed25519 key", _is_any_vkey)
_HELD: Final = {"role": one_of("collector", "log", "recovery", "witness"), "vkey": _ANY_VKEY}

KEY_BODIES: Final[Mapping[str, Any]] = {
    # A log key is never added: entry 0 names the first, and each other follows one by signature.
    "key.added": {
        "role": one_of("collector", "recovery", "witness"),
        "vkey": _ANY_VKEY,
        "signature?": SIGNATURE,
        "acceptance?": SIGNATURE,
    },
    "key.rotated": {
        "role": one_of("collector", "log"),
        "old": VKEY,
        "new": VKEY,
        "signature": SIGNATURE,
        "acceptance": SIGNATURE,
    },
    "key.retired": _HELD,
    "key.compromised": {**_HELD, "since": Utc},
}


def signed_bytes(type: str, origin: str, index: int, body: Mapping[str, Any]) -> bytes:
    """What `signature` and `acceptance` of such a body are over."""
    said = {name: value for name, value in body.items() if name not in {"signature", "acceptance"}}
    return canonical({**said, "index": index, "origin": origin, "type": type})


def sign_body(
    type: str, origin: str, index: int, body: Mapping[str, Any], by: SigningKey, new: SigningKey
) -> dict[str, Any]:
    """The body with both signatures: by the key that vouches, and by the one that accepts."""
    said = signed_bytes(type, origin, index, body)
    signature, acceptance = (dsse.sign(said, key, dsse.KEY) for key in (by, new))
    return {**body, "signature": signature, "acceptance": acceptance}


def is_by(entry: Mapping[str, Any], name: str, vkey: str) -> bool:
    """Whether the body's signature of that name is by this key."""
    said = signed_bytes(entry["type"], entry["subject"], entry["index"], entry["body"])
    try:
        dsse.verify(said, entry["body"][name], [VerifierKey.parse(vkey)], dsse.KEY)
    except SignatureError:
        return False
    return True


def disagreements(entry: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    """What one `key.*` entry shows to be wrong without those before it; each as (broken, what)."""
    type_, body, role = entry["type"], entry["body"], entry["body"]["role"]
    vkeys = [body[name] for name in ("old", "new", "vkey") if name in body]
    kinds = {base64.b64decode(vkey.split("+", 2)[2])[:1] == _COSIGNATURE for vkey in vkeys}
    yield kinds != {role == "witness"}, "a witness's key cosigns, and no other does"
    names = {vkey.partition("+")[0] for vkey in vkeys}
    yield role == "log" and names != {entry["subject"]}, "a log key is named as the log, its origin"
    if type_ == "key.added":
        signed = [name for name in ("signature", "acceptance") if name in body]
        yield len(signed) != 2 * (role == "recovery"), "a recovery key is signed in, and no other is"
        yield bool(signed) and not is_by(entry, "acceptance", body["vkey"]), "the recovery key did not accept"
    elif type_ == "key.rotated":
        yield len(names) != 1, "the new key has another name"
        yield public_half(body["old"]) == public_half(body["new"]), "the new key is the old one"
        yield not is_by(entry, "acceptance", body["new"]), "the new key did not accept"
        named = body["signature"]["keyid"] == dsse.key_id(VerifierKey.parse(body["old"]))
        yield named and not is_by(entry, "signature", body["old"]), "the old key did not sign"
    elif type_ == "key.compromised":
        yield body["since"] > entry["time"], "`since` lies in the future"
