r"""Chromium's NetLog, one event a line, filtered before it is parsed.

    {"constants": {"logEventTypes":{…},"netError":{…},"timeTickOffset":1795421585627,"clientInfo":{…}…},
    "events": [
    {"params":{"byte_count":9,"bytes":"b2sgL2ZpbmFs"},"phase":0,"source":{"id":34,"start_time":"1533874","type":10},"time":"1533999","type":213},
    …],
    "polledData": …}

Keys are sorted, so the last 200 bytes of a line say what it is; lines that are not wanted (most of the
volume) are dropped unparsed. Chromium's own page on NetLog warns that its format may change:
`Constants` therefore refuses a log that lacks any event name we rely on.
"""

from __future__ import annotations

import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote_to_bytes

BEGIN: Final = 1
END: Final = 2
WANTED: Final = frozenset(
    {
        "REQUEST_ALIVE",
        "URL_REQUEST_START_JOB",
        "HTTP_STREAM_REQUEST_BOUND_TO_JOB",
        "HTTP_TRANSACTION_SEND_REQUEST_HEADERS",
        "SOCKET_POOL_BOUND_TO_SOCKET",
        "SOCKET_ALIVE",
        "TCP_CONNECT",
        "SSL_CONNECT",
        "SSL_CERTIFICATES_RECEIVED",
        "SOCKET_BYTES_SENT",
        "SOCKET_BYTES_RECEIVED",
        "SSL_SOCKET_BYTES_SENT",
        "SSL_SOCKET_BYTES_RECEIVED",
        "HTTP2_SESSION_INITIALIZED",
        "HTTP2_SESSION_SEND_HEADERS",
        "HTTP2_SESSION_RECV_HEADERS",
        "HTTP2_SESSION_RECV_DATA",
        "HTTP2_SESSION_RECV_RST_STREAM",
        "HTTP2_SESSION_SEND_RST_STREAM",
    }
)
_TAIL: Final = re.compile(
    rb'"phase":(\d),"source":\{"id":(-?\d+),"start_time":"\d+","type":\d+\},"time":"(\d+)","type":(\d+)\}'
)
_TAIL_LENGTH: Final = 200
_PARAMS: Final = len(b'{"params":')
_BYTES: Final = b'"bytes":"'
_ESCAPED: Final = "%ESCAPED:\u200b "
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NetLogError(Exception):
    """The log is not one that this parser was written for, or is broken."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `name`, `phase` (0 none, 1 begin, 2 end), the id of its source, the moment in UTC."""

    name: str
    phase: int
    source: int
    moment: datetime
    raw: bytes
    """The parameters as JSON, unparsed; empty when there are none."""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters. Raises NetLogError."""
        if not self.raw:
            return {}
        try:
            found: dict[str, Any] = json.loads(self.raw)
        except ValueError as error:
            raise NetLogError(f"parameters of {self.name}: {error}") from error
        return found

    @property
    def data(self) -> bytes:
        """What a `*_BYTES_*` event carried. Raises NetLogError."""
        start = self.raw.find(_BYTES)
        if start < 0 and self.params.get("byte_count") == 0:  # the end of the stream
            return b""
        if start < 0:
            raise NetLogError(f"{self.name} without bytes: was --net-log-capture-mode=Everything given?")
        start += len(_BYTES)
        try:
            return binascii.a2b_base64(self.raw[start : self.raw.index(b'"', start)])
        except (ValueError, binascii.Error) as error:
            raise NetLogError(f"bytes of {self.name}: {error}") from error

    @property
    def dependency(self) -> int:
        """The id of the source that the event points to; 0 when it points nowhere."""
        return int(self.params.get("source_dependency", {}).get("id", 0))


class Constants:
    """The log's first line: what its numbers mean, and which browser wrote it."""

    def __init__(self, line: bytes) -> None:
        """Read the line. Raises NetLogError when an event name that we need is unknown to this Chromium."""
        try:
            constants = json.loads(line.rstrip().rstrip(b",") + b"}")["constants"]
            types = constants["logEventTypes"]
            offset = int(constants["timeTickOffset"])
        except (ValueError, KeyError, TypeError) as error:
            raise NetLogError(f"the network log begins unlike one: {line[:60]!r}") from error
        lacking = sorted(WANTED - set(types))
        if lacking:
            raise NetLogError(f"this Chromium's network log has no {', '.join(lacking)}")
        self.client: dict[str, Any] = constants.get("clientInfo", {})
        """`clientInfo`: name, version, command line, operating system."""
        self._names = {int(number): name for name, number in types.items() if name in WANTED}
        self._errors = {int(number): str(name) for name, number in constants["netError"].items()}
        self._offset = timedelta(milliseconds=offset)

    def event(self, line: bytes) -> Event | None:
        """The line's event, or None when it is not wanted. Raises NetLogError on a line that is no event."""
        tail = _TAIL.search(line, max(0, len(line) - _TAIL_LENGTH))
        if tail is None:
            raise NetLogError(f"no event: {line[:60]!r}")
        name = self._names.get(int(tail[4]))
        if name is None:
            return None
        moment = _EPOCH + timedelta(milliseconds=int(tail[3])) + self._offset
        raw = line[_PARAMS : tail.start() - 1] if line.startswith(b'{"params":') else b""
        return Event(name, int(tail[1]), int(tail[2]), moment, raw)

    def error(self, number: int) -> str:
        """The name of a network error, e.g. `ERR_CERT_AUTHORITY_INVALID` for -202."""
        return self._errors.get(number, f"error {number}")


def unescape(text: str) -> bytes:
    """The bytes of a string as NetLog prints them: non-ASCII ones come as `%ESCAPED:\u200b ` + percent codes."""
    if text.startswith(_ESCAPED):
        return unquote_to_bytes(text.removeprefix(_ESCAPED))
    return text.encode("utf-8")
