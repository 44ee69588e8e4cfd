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
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

BEGIN: Final = 1
END: Final = 2
_TAIL: Final = re.compile(
    rb'"phase":(\d),"source":\{"id":(-?\d+),"start_time":"\d+","type":\d+\},"time":"(\d+)","type":(\d+)\}'
)
_TAIL_LENGTH: Final = 200
_PARAMS: Final = b'{"params":'
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NetLogError(ValueError):
    """The log is not one that this parser was written for, or is broken."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `phase` is 0 (none), BEGIN or END, `source` an id, `raw` the parameters' JSON, or empty."""

    name: str
    phase: int
    source: int
    moment: datetime
    raw: bytes

    @property
    def params(self) -> dict[str, Any]:
        """The parameters. Raises ValueError."""
        found: dict[str, Any] = json.loads(self.raw or b"{}")
        return found

    @property
    def data(self) -> bytes:
        """What a `*_BYTES_*` event carried; nothing at the end of a stream. Raises ValueError."""
        _, _, encoded = self.raw.partition(b'"bytes":"')
        if not encoded and self.params.get("byte_count"):
            raise NetLogError(f"{self.name} without bytes: was --net-log-capture-mode=Everything given?")
        return binascii.a2b_base64(encoded.partition(b'"')[0])

    @property
    def dependency(self) -> int:
        """The id of the source that the event points to; 0 when it points nowhere."""
        return int(self.params.get("source_dependency", {}).get("id", 0))


class Constants:
    """The log's first line: what its numbers mean, and which browser wrote it."""

    def __init__(self, line: bytes, wanted: Collection[str]) -> None:
        """Read the line. Raises NetLogError when a `wanted` event's name is unknown to this Chromium."""
        try:
            constants = json.loads(line.rstrip().rstrip(b",") + b"}")["constants"]
            types = constants["logEventTypes"]
            self._offset = timedelta(milliseconds=int(constants["timeTickOffset"]))
            self.errors = {int(number): str(name) for name, number in constants["netError"].items()}
        except (ValueError, KeyError, TypeError) as error:
            raise NetLogError(f"the network log begins unlike one: {line[:60]!r}") from error
        lacking = sorted(set(wanted) - set(types))
        if lacking:
            raise NetLogError(f"this Chromium's network log has no {', '.join(lacking)}")
        self.client: dict[str, Any] = constants.get("clientInfo") or {"name": "not told"}
        """Name, version, command line, operating system; `chromium-headless-shell` says nothing."""
        self._names = {int(number): name for name, number in types.items() if name in wanted}

    def event(self, line: bytes) -> Event | None:
        """The line's event, or None when it is not wanted. Raises NetLogError on a line that is no event."""
        tail = _TAIL.search(line, max(0, len(line) - _TAIL_LENGTH))
        if tail is None:
            raise NetLogError(f"no event: {line[:60]!r}")
        name = self._names.get(int(tail[4]))
        if name is None:
            return None
        moment = _EPOCH + timedelta(milliseconds=int(tail[3])) + self._offset
        raw = line[len(_PARAMS) : tail.start() - 1] if line.startswith(_PARAMS) else b""
        return Event(name, int(tail[1]), int(tail[2]), moment, raw)
