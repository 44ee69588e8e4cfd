"""What each tap notes of an exchange under way, as the next start finds it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.record import cdp_draft, netlog_draft
from pipelines.record.exchange import BodyState, Layer, Network
from pipelines.record.recording import Recorder
from pipelines.record.spool import BodySpool, salvage

NOW = datetime(2026, 11, 23, tzinfo=UTC)
URL = "https://a.test/v"
GET = b"GET /v HTTP/1.1\r\n\r\n"


class Spools:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, head: bytes, *, path: Path | None = None) -> BodySpool:
        return BodySpool(path or self.folder / f"{uuid.uuid4().hex}.body", head)


@pytest.mark.parametrize(("protocol", "layer"), [("h2", Layer.H2_RENDERED), ("http/1.1", Layer.H1_BYTES)])
def test_of_ytdlp_s_exchange_its_protocol_is_noted(tmp_path: Path, protocol: str, layer: Layer) -> None:
    Recorder(tmp_path, lambda _: None).begin("https://a.test", Network(protocol=protocol)).sent(GET)
    assert [(one.url, one.layer) for one in salvage(tmp_path)] == [(URL, layer)]


@pytest.mark.parametrize("layer", [Layer.H2_RENDERED, Layer.H1_BYTES])
def test_of_the_netlog_s_exchange_its_layer_is_noted(tmp_path: Path, layer: Layer) -> None:
    hop = netlog_draft.Hop(URL, "GET", own=False)
    netlog_draft.Draft(hop, NOW, layer, Network(), Spools(tmp_path)).asked(GET)
    assert [(one.url, one.layer) for one in salvage(tmp_path)] == [(URL, layer)]


def test_of_devtools_exchange_it_is_noted_that_its_body_was_decoded(tmp_path: Path) -> None:
    request = {"url": URL, "method": "GET", "headers": {}}
    response = {"url": URL, "status": 200, "statusText": "OK", "headers": {"Content-Length": "4"}}
    draft = cdp_draft.Draft(URL, request, NOW, "Document", "1", Spools(tmp_path), response)
    draft.write(b"Wiki")
    (exchange,) = salvage(tmp_path)
    draft.finish({}, {}, Network())
    assert (exchange.layer, exchange.response_body.size) == (Layer.CDP_DECODED, 4)
    assert exchange.response_body.state is BodyState.TRUNCATED
