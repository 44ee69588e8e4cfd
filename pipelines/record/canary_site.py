"""The canary's own web: a page on loopback that asks for one of each, and all that was said, byte for byte.

TLS with a throw-away authority, HTTP/1.1 with keep-alive; served to whoever asks, and the tunnel asks for it only.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME: Final = "canary.akashi.invalid"
"""Never a name on the network (RFC 6761 §6.4)."""
_PAGE: Final = rb"""<!doctype html><link rel="icon" href="data:,"><img src="/image.png"><script>
onload = async () => {
  const ask = async (path, how) => await (await fetch(path, how)).arrayBuffer();
  await ask('/post', {method: 'POST', body: new Uint8Array([0, 13, 10, 127, 128, 255, ...Array(70000).fill(7)])});
  await ask('/moved');
  await ask('/head', {method: 'HEAD'});
  await ask('/range', {headers: {Range: 'bytes=2-5'}});
  await ask('/chunked');
  await new Promise(done => new Worker('/worker.js').onmessage = done);
  document.title = 'done';
};
</script>"""


def _answer(first: str, body: bytes, *fields: str, framing: str = "") -> tuple[bytes, bytes]:
    framing = framing or f"Content-Length: {len(body)}"
    lines = [
        f"HTTP/1.1 {first}",
        "Cache-Control: no-store",
        "X-Canary: caf\xe9",
        "x-CANARY:  2",
        *fields,
        framing,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1"), body


_TEXT: Final = "Content-Type: text/plain"
_SCRIPT: Final = b"fetch('/worked').then(answer => answer.text()).then(postMessage)"
_ANSWERS: Final = {
    "/": _answer("200 OK", gzip.compress(_PAGE), "Content-Type: text/html", "Content-Encoding: gzip"),
    "/image.png": _answer("200 OK", b"\x89PNG\r\n\x1a\n" + bytes(90000), "Content-Type: image/png"),
    "/post": _answer("201 Created", bytes(range(256)), "Content-Type: application/octet-stream"),
    "/moved": _answer("302 Found", b"", "Location: /landed"),
    "/landed": _answer("404 Not Found", "見つかりません".encode(), _TEXT),
    "/head": _answer("200 OK", b"never sent", _TEXT),
    "/range": _answer("206 Partial Content", b"nary", "Content-Range: bytes 2-5/6", _TEXT),
    "/chunked": _answer(
        "200 OK", b"5;x=y\r\nAkash\r\n1\r\ni\r\n0\r\n\r\n", framing="Transfer-Encoding: chunked"
    ),
    "/worker.js": _answer("200 OK", _SCRIPT, "Content-Type: text/javascript"),
    "/worked": _answer("200 OK", b"", _TEXT),
}
PATHS: Final = frozenset(_ANSWERS)


class Said(NamedTuple):
    """One exchange: what went over the socket, and the cipher over which it went."""

    request_head: bytes
    request_body: bytes
    response_head: bytes
    response_body: bytes
    cipher: str

    @property
    def what(self) -> str:
        """Method and path."""
        return b" ".join(self.request_head.split(b" ", 2)[:2]).decode("latin-1")


class CanarySite:
    """Serves while it is open: `async with CanarySite(folder) as site`."""

    def __init__(self, folder: Path) -> None:
        """`folder` takes its authority, as PEM, and its key; the browser's user may walk through."""
        folder.chmod(0o711)
        self.root = folder / "root.pem"
        self.said: list[Said] = []
        key = folder / "key.pem"
        key.touch(0o600)
        _certify(self.root, key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(key)

    async def __aenter__(self) -> Self:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Go."""
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?im)^content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                answer, content = _ANSWERS[head.split(b" ", 2)[1].decode("latin-1")]
                content = b"" if head.startswith(b"HEAD ") else content
                cipher = writer.get_extra_info("cipher")[0]
                self.said.append(Said(head, body, answer, content, cipher))
                writer.write(answer + content)
                await writer.drain()
        except (OSError, KeyError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.close()  # the browser left, or asked for what is not here: the comparison tells


def _certify(root: Path, key: Path) -> None:
    """Make a certificate for a day that is its own authority (`root`), and its key with it (`key`)."""
    now, own = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    validity = (now - timedelta(hours=1), now + timedelta(days=1))
    builder = x509.CertificateBuilder(name, name, own.public_key(), x509.random_serial_number(), *validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    pem = serialization.Encoding.PEM
    certificate = builder.sign(own, hashes.SHA256()).public_bytes(pem)
    root.write_bytes(certificate)
    secret = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(secret + certificate)
