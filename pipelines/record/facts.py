"""The network facts of an exchange, as the `metadata` record beside it states them.

{"body":{"size":5,"state":"as-received","why":""},"chain":["<sha256 of the leaf, DER>",…],
 "chain_record":"<urn:uuid:…>","cipher":"TLS_AES_256_GCM_SHA384","client":"yt-dlp","dns":["93.184.215.14"],
 "error":"","ip":"93.184.215.14","layer":"h1-bytes","method":"GET","port":443,"protocol":"http/1.1",
 "started":"2026-11-23T08:13:00.123456Z","tls":"tls/1.3","url":"https://example.org/"}
"""

from __future__ import annotations

import base64
import hashlib
import textwrap
from datetime import UTC
from typing import Any

from pipelines.record.exchange import Body, Exchange
from pipelines.record.spool import SpooledBody


def facts_of(exchange: Exchange, chain_record: str) -> dict[str, Any]:
    """What is known of the connection and of both bodies; `chain_record` holds the certificates."""
    network = exchange.network
    facts: dict[str, Any] = {
        "body": _body(exchange.response_body),
        "client": exchange.client,
        "dns": list(network.dns),
        "error": exchange.error,
        "ip": network.ip,
        "layer": exchange.layer,
        "method": exchange.method,
        "port": network.port,
        "protocol": network.protocol,
        "started": exchange.started.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "tls": network.tls,
        "url": exchange.url,
    }
    if exchange.request_body is not None:
        facts["request_body"] = _body(exchange.request_body)
    if network.cipher:
        facts["cipher"] = network.cipher
    if network.chain:
        facts["chain"] = [hashlib.sha256(certificate).hexdigest() for certificate in network.chain]
        facts["chain_record"] = chain_record
    return facts


def pem_chain(chain: tuple[bytes, ...]) -> bytes:
    """DER certificates as an application/pem-certificate-chain (RFC 8555 §9.1), leaf first."""
    return b"".join(_pem(certificate) for certificate in chain)


def _pem(certificate: bytes) -> bytes:
    lines = textwrap.fill(base64.b64encode(certificate).decode("ascii"), 64)
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n".encode("ascii")


def _body(body: Body) -> dict[str, Any]:
    stated: dict[str, Any] = {"size": body.size, "state": body.state, "why": body.why}
    if isinstance(body, SpooledBody) and body.content_sha256:
        stated["content"] = {"sha256": body.content_sha256, "size": body.content_size}
    return stated
