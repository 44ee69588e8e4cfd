"""Reading an HTTP/1.1 head (RFC 9112) just far enough to file it: status, fields, body framing.

HTTP/1.1 206 Partial Content␍␊Content-Type: video/mp4␍␊Content-Range: bytes 7-9/10␍␊␍␊
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

END: Final = (b"\n\r\n", b"\n\n")
"""How a head ends: by an empty line, whose line feed may stand alone (RFC 9112 §2.2)."""
_STATUS: Final = re.compile(r"HTTP/\d(?:\.\d)? ([1-9]\d\d)(?: |$)")
_LENGTH: Final = re.compile(r"\d{1,18}", re.ASCII)
_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Head:
    """A parsed head: `status` is 0 for a request or a line that is no status line."""

    status: int
    fields: tuple[tuple[str, str], ...]
    """Lower-case name and value, in order of appearance."""

    def get(self, name: str) -> str:
        """The values of a field joined as RFC 9110 §5.3 says; empty when absent. `name` in lower case."""
        return ", ".join(value for field, value in self.fields if field == name)

    @property
    def mime(self) -> str:
        """The media type without parameters, in lower case; empty when not stated."""
        return self.get("content-type").partition(";")[0].strip().lower()

    @property
    def chunked(self) -> bool:
        """Whether the body is chunk-framed (RFC 9112 §7.1)."""
        return self.get("transfer-encoding").lower().endswith("chunked")

    @property
    def encodings(self) -> tuple[str, ...]:
        """Content codings in the order in which they were applied, `identity` left out."""
        stated = (coding.strip().lower() for coding in self.get("content-encoding").split(","))
        return tuple(coding for coding in stated if coding not in {"", "identity"})

    @property
    def length(self) -> int | None:
        """Content-Length in bytes, or None when it is not stated as one number."""
        stated = self.get("content-length")
        return int(stated) if _LENGTH.fullmatch(stated) else None

    @property
    def range_start(self) -> int | None:
        """First byte position that a single-part 206 answer states, else None."""
        match = _RANGE.fullmatch(self.get("content-range"))
        return int(match[1]) if match and self.status == 206 else None  # noqa: PLR2004  # RFC 9110 §15.3.7

    @property
    def is_part(self) -> bool:
        """Whether it is a 206 answer that does not state that it is the whole."""
        match = _RANGE.fullmatch(self.get("content-range"))
        whole = match and match[1] == "0" and match[3] == str(int(match[2]) + 1)
        return self.status == 206 and not whole  # noqa: PLR2004  # RFC 9110 §15.3.7

    def has_body(self, method: str) -> bool:
        """Whether an answer to `method` carries a body at all (RFC 9112 §6.3)."""
        return method != "HEAD" and self.status >= 200 and self.status not in {204, 304}  # noqa: PLR2004


def parse_head(head: bytes) -> Head:
    """Parse a request's or a response's head; malformed lines are skipped, never raised on."""
    first, *lines = re.split("\r?\n", head.decode("latin-1"))
    status = _STATUS.match(first)
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    fields = tuple((name.strip().lower(), value.strip()) for name, value in pairs)
    return Head(int(status[1]) if status else 0, fields)


def is_response(head: bytes) -> bool:
    """Whether the bytes begin with a status line and end with the head's empty line."""
    return head.endswith(END) and parse_head(head).status > 0
