"""What one run of captures was asked to do, read from Scrapy's settings (`-s AKASHI_CASE=…`).

`akashi capture` sets the same settings from its options, so both ways are one.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from evidence.errors import UsageError
from storage.settings import Settings


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """The options of one run; they are written into the request document and the manifest."""

    case: str = ""
    note: str = ""
    operator: str = ""
    allow_private: bool = False
    no_video: bool = False
    override_robots: str = ""
    """The reason given by a named person for one named URL; empty: robots.txt is obeyed."""
    limit: int = 0
    """At most this many captures in one crawl; 0: no limit."""

    def operator_facts(self, settings: Settings) -> dict[str, str]:
        """Who answers for the capture; the method says how far the name can be trusted (design §4)."""
        user = getpass.getuser()
        return {
            "host": socket.gethostname(),
            "method": "asserted",
            "name": self.operator or settings.operator or user,
            "os_user": user,
        }

    def as_json(self) -> dict[str, Any]:
        """The options that change what is fetched, as the request document holds them."""
        return {"allow_private": self.allow_private, "no_video": self.no_video}


def options_from(scrapy_settings: Mapping[str, Any], settings: Settings) -> tuple[CaptureOptions, Settings]:
    """Read the AKASHI_… settings; gives the options and the settings they amend. Raises UsageError."""
    get = scrapy_settings.get

    def number(name: str, default: float) -> float:
        raw = get(name)
        try:
            value = default if raw in (None, "") else float(raw)
        except (TypeError, ValueError):
            raise UsageError(f"{name} is {raw!r}, which is no number", next=f"correct {name}") from None
        if value < 0:
            raise UsageError(f"{name} is negative", next=f"correct {name}")
        return value

    options = CaptureOptions(
        case=str(get("AKASHI_CASE") or ""),
        note=str(get("AKASHI_NOTE") or ""),
        operator=str(get("AKASHI_OPERATOR") or ""),
        allow_private=_flag(get("AKASHI_ALLOW_PRIVATE")),
        no_video=_flag(get("AKASHI_NO_VIDEO")),
        override_robots=str(get("AKASHI_OVERRIDE_ROBOTS") or ""),
        limit=int(number("AKASHI_LIMIT", 0)),
    )
    if options.override_robots and not options.operator:
        raise UsageError(
            "robots.txt is lifted only by a named person",
            next="add --operator NAME to --override-robots REASON",
        )
    timeout = number("AKASHI_TIMEOUT", settings.timeout)
    return options, replace(
        settings,
        timeout=timeout,
        page_timeout=min(timeout, settings.page_timeout),
        max_bytes=int(number("AKASHI_MAX_BYTES", settings.max_bytes)),
    )


def _flag(raw: Any) -> bool:
    return str(raw).lower() in {"1", "true", "yes", "on"}
