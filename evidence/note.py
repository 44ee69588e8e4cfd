r"""Signed notes (c2sp.org/signed-note v1.0.0) and Ed25519 keys in that world's form.

    akashi.invalid/5f2c61d0          ┐
    7                                │ the text, ends in a newline; this is what is signed
    r5pN…43 characters…=             ┘
                                       an empty line
    — akashi.invalid/5f2c61d0 2GbY…base64(4-byte key id || 64-byte signature)

    key id = SHA-256(name || 0x0A || 0x01 || public key)[:4]
    vkey   = name+hex(key id)+base64(0x01 || public key)

Signatures by keys one does not know are ignored, so that keys rotate and witnesses sign; a known
key with a bad signature condemns the whole note. No CR, no control character, nothing after the
last signature line, no second way to write a base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final, NamedTuple, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evidence.errors import NoteError

MAX_NOTE: Final = 1 << 20
"""Bytes of a note that is read: room for 16 post-quantum signatures many times over."""
MAX_SIGNATURES: Final = 64
KEY_ID_BYTES: Final = 4
SIGNATURE_BYTES: Final = 64
PUBLIC_KEY_BYTES: Final = 32

_DASH: Final = "\N{EM DASH}"
_PRIME: Final = 2**255 - 19
# The y coordinates of the eight points of small order (RFC 8032 curve): under such a "key"
# one signature fits any message. 0 and ±1 are exact; the other two are the order-8 points.
_ORDER_8: Final = int("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826", 16)
_SMALL_ORDER: Final = frozenset({0, 1, _PRIME - 1, _ORDER_8, _PRIME - _ORDER_8})
_NAME: Final = r"[^\s+\x00-\x1f\x7f]{1,255}"
_LINE: Final = re.compile(f"{_DASH} ({_NAME}) ([A-Za-z0-9+/=]+)")


def unbase64(text: str) -> bytes | None:
    """The bytes of which the text is the one base64 form, else None."""
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return blob if base64.b64encode(blob).decode() == text else None


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key and the name it signs under."""

    algorithm: ClassVar[bytes] = b"\x01"
    """The byte that C2SP gives this kind of signature; part of the key id and the vkey."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        """Refuse a name that notes cannot hold and a key that proves nothing (NoteError)."""
        if not re.fullmatch(_NAME, self.name):
            raise NoteError(
                f"{self.name!r} is no key name: it has spaces, '+', or no length", rule="key-name"
            )
        _refuse_weak(self.public)

    @property
    def key_id(self) -> bytes:
        """The four bytes by which signatures name this key."""
        return hashlib.sha256(b"\n".join((self.name.encode(), self.algorithm + self.public))).digest()[
            :KEY_ID_BYTES
        ]

    @property
    def vkey(self) -> str:
        """The key as text, e.g. to print, publish and compare."""
        public = base64.b64encode(self.algorithm + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{public}"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read a vkey. Raises NoteError (rule `vkey`, `key-name`, `key`)."""
        name, key_id, encoded, *_ = (*vkey.split("+", 2), "", "")  # base64 may hold a '+', the others not
        blob = unbase64(encoded)
        if blob is None or blob[:1] != cls.algorithm or len(blob) != 1 + PUBLIC_KEY_BYTES:
            what = f"0x{cls.algorithm.hex()} and 32 bytes of Ed25519 key"
            raise NoteError(f"such a key's vkey holds {what}", rule="vkey")
        key = cls(name, blob[1:])
        if key_id != key.key_id.hex():
            raise NoteError(f"the vkey's id is {key_id}, its key's is {key.key_id.hex()}", rule="vkey")
        return key

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the 64-byte signature over the message is by this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key and the name it signs under. The seed never appears in `repr` or errors."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier: Final = VerifierKey(name, self._private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new key from the system's randomness."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> Self:
        """The key of a 32-byte seed. Raises ValueError for another length, NoteError for a bad name."""
        return cls(name, seed)

    @property
    def name(self) -> str:
        """The name it signs under."""
        return self.verifier.name

    @property
    def vkey(self) -> str:
        """Its public half as text."""
        return self.verifier.vkey

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for the keyring's file alone."""
        return self._private.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature (RFC 8032) over the message."""
        return self._private.sign(message)

    def sign_line(self, text: str) -> str:
        """The signature line over a note's text, with its newline."""
        return str(SignatureLine(self.name, self.verifier.key_id, self.sign(text.encode())))


class SignatureLine(NamedTuple):
    """A line below a note: who says to have signed, and what; nothing of it is verified."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        """The line, with its newline."""
        return f"{_DASH} {self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


Known = TypeVar("Known", bound=VerifierKey)


class OpenedNote(NamedTuple):
    """A note's text and the names of the known keys whose signatures verified, in the note's order."""

    text: str
    verified: tuple[str, ...]


def sign_note(text: str, keys: Sequence[SigningKey]) -> bytes:
    """The signed note over a text that ends in a newline. Raises NoteError for a text no note can hold."""
    _refuse_text(text)
    if not keys:
        raise NoteError("a note needs a signature", rule="signatures")
    return (text + "\n" + "".join(key.sign_line(text) for key in keys)).encode()


def open_note(data: bytes, vkeys: Sequence[VerifierKey]) -> OpenedNote:
    """The text of a note that at least one known key signed, and that no known key signed badly.

    Raises NoteError: the rules of `split_note`, or `signature` (a known key's does not verify),
    `unsigned` (no known key signed).
    """
    text, lines = split_note(data)
    verified = tuple(key.name for key, _ in lines_by(vkeys, text, lines, "signature"))
    if not verified:
        raise NoteError("no known key signed this note", rule="unsigned")
    return OpenedNote(text, verified)


def lines_by(
    keys: Sequence[Known], text: str, lines: Iterable[SignatureLine], rule: str
) -> Iterator[tuple[Known, SignatureLine]]:
    """The lines by known keys over a note's text, in its order; those by others are ignored.

    Raises NoteError (`rule`) at the first that does not verify.
    """
    known = {(key.name, key.key_id): key for key in keys}
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        if not key.verify(text.encode(), line.signature):
            raise NoteError(f"the {rule} of {key.name} does not verify", rule=rule)
        yield key, line


def split_note(data: bytes) -> tuple[str, tuple[SignatureLine, ...]]:
    """A note's text and its signature lines, none of them verified: believe nothing of it yet.

    Raises NoteError; its rule is `size`, `text`, `form`, `signatures` or `signature-line`.
    """
    if len(data) > MAX_NOTE:
        raise NoteError(f"{len(data)} bytes exceed {MAX_NOTE}", rule="size")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError("not UTF-8", rule="text", offset=error.start) from error
    body, separator, tail = whole.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise NoteError("no empty line before the signatures, or no newline behind", rule="form")
    _refuse_text(body + "\n")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"{len(lines)} signatures exceed {MAX_SIGNATURES}", rule="signatures")
    return body + "\n", tuple(map(_signature_line, lines))


def _signature_line(line: str) -> SignatureLine:
    matched = _LINE.fullmatch(line)
    blob = unbase64(matched[2]) if matched else None
    if matched is None or blob is None or len(blob) <= KEY_ID_BYTES:
        raise NoteError("a line behind the empty line is no signature line", rule="signature-line")
    return SignatureLine(matched[1], blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


def _refuse_text(text: str) -> None:
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise NoteError("a note's text ends in a newline and holds no other control character", rule="text")


@lru_cache(maxsize=64)  # the same few keys are parsed with every entry that names them
def _refuse_weak(public: bytes) -> None:
    y = int.from_bytes(public, "little") & (1 << 255) - 1
    if y >= _PRIME or y in _SMALL_ORDER or not _on_curve(y):  # RFC 8032 §5.1.3
        raise NoteError("the key is no point of the curve in its one form, or of small order", rule="key")


def _on_curve(y: int) -> bool:
    # x² = (y² - 1) / (d·y² + 1), d = -121665/121666; solvable iff Euler's criterion says so.
    d = -121665 * pow(121666, -1, _PRIME) % _PRIME
    x_squared = (y * y - 1) * pow(d * y * y + 1, -1, _PRIME) % _PRIME
    return pow(x_squared, (_PRIME - 1) // 2, _PRIME) in {0, 1}
