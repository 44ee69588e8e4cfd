"""How an exchange travels from the video child to its parent: one JSON event, its body by name or in base64.

    {"event":"connection","number":1,"ip":"93.184.215.14","port":443,"protocol":"http/1.1","tls":"tls/1.3",
     "cipher":"TLS_AES_256_GCM_SHA384","chain":["<base64 of DER>",…],"dns":["93.184.215.14"]}
    {"event":"exchange","number":4,"connection":1,"url":"https://…","method":"GET","started":"…+00:00",
     "request_head":"<base64>","response_head":"<base64>","error":"","request":null,
     "response":{"size":5,"data":"aGVsbG8=","name":null,"state":"as-received","why":"","block":"<sha256>",
                 "payload":"<sha256>","content":"<sha256>","content_size":5,"complete":true}}

The child is where fetched bytes are parsed, so the parent believes names no further than it must:
a spool file is a plain file of that form in the child's spool folder.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pipelines.record.exchange import Body, BodyState, Exchange, Layer, Network
from pipelines.record.spool import SpooledBody

CLIENT: Final = "yt-dlp"
_NAME: Final = re.compile(r"[0-9a-f]{32}\.body")

Event = Mapping[str, Any]


def encode_connection(network: Network) -> dict[str, Any]:
    """The facts of a connection, without event and number."""
    return {
        "ip": network.ip,
        "port": network.port,
        "protocol": network.protocol,
        "tls": network.tls,
        "cipher": network.cipher,
        "chain": [_text(certificate) for certificate in network.chain],
        "dns": list(network.dns),
    }


def decode_connection(event: Event) -> Network:
    """The connection that an event tells of."""
    return Network(
        ip=event["ip"],
        port=event["port"],
        protocol=event["protocol"],
        tls=event["tls"],
        cipher=event["cipher"],
        chain=tuple(map(base64.b64decode, event["chain"])),
        dns=tuple(event["dns"]),
    )


def encode_exchange(exchange: Exchange) -> dict[str, Any]:
    """An exchange without event, number and connection."""
    return {
        "url": exchange.url,
        "method": exchange.method,
        "started": exchange.started.isoformat(),
        "request_head": _text(exchange.request_head),
        "response_head": _text(exchange.response_head),
        "error": exchange.error,
        "request": None if exchange.request_body is None else _body(exchange.request_body),
        "response": _body(exchange.response_body),
    }


def decode_exchange(event: Event, network: Network, spool: Path) -> Exchange:
    """The exchange that an event tells of; its spooled body lies in `spool`. Raises ValueError."""
    head = base64.b64decode(event["response_head"])
    return Exchange(
        client=CLIENT,
        url=event["url"],
        method=event["method"],
        started=datetime.fromisoformat(event["started"]),
        request_head=base64.b64decode(event["request_head"]),
        request_body=_read_body(event["request"], b"", spool) if event["request"] else None,
        response_head=head,
        response_body=_read_body(event["response"], head, spool),
        layer=Layer.H1_BYTES,
        network=network,
        error=event["error"],
    )


def _body(body: Body) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "size": body.size,
        "data": None if body.data is None else _text(body.data),
        "name": body.path.name if body.path else None,
        "state": body.state,
        "why": body.why,
    }
    if isinstance(body, SpooledBody):
        facts |= {
            "block": body.block_sha256,
            "payload": body.payload_sha256,
            "content": body.content_sha256,
            "content_size": body.content_size,
            "complete": body.complete,
        }
    return facts


def _read_body(facts: Event, head: bytes, spool: Path) -> Body:
    name = facts["name"]
    if name is not None and not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no spool file")
    data = None if facts["data"] is None else base64.b64decode(facts["data"])
    path, state = spool / name if name else None, BodyState(facts["state"])
    if "block" not in facts:
        return Body(facts["size"], data=data, path=path, state=state, why=facts["why"])
    return SpooledBody(
        facts["size"],
        data=data,
        path=path,
        state=state,
        why=facts["why"],
        head=head,
        block_sha256=facts["block"],
        payload_sha256=facts["payload"],
        content_sha256=facts["content"],
        content_size=facts["content_size"],
        complete=facts["complete"],
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
