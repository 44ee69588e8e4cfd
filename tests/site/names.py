"""The host names of the local web; all under .test (RFC 6761), so that none can ever be a real site."""

from __future__ import annotations

from typing import Final

VIDEOS: Final = "videos.example.test"
"""The video platform itself: pages, API, feed."""
CDN: Final = "cdn.example.test"
"""Images and media."""
OTHER: Final = "other.example.test"
"""A second party: the embedded frame and the statistics collector."""
AWAY: Final = "frames.away.test"
"""Another site, by the public suffix list too: its frames get a process of their own."""
SELF_SIGNED: Final = "selfsigned.example.test"
"""Answers with a certificate that no authority signed."""
EXPIRED: Final = "expired.example.test"
"""Answers with a certificate whose time is over."""
WRONG_NAME: Final = "wrongname.example.test"
"""Answers with a certificate for another host."""
CLOSED: Final = "closed.example.test"
"""Resolves, but nothing listens at the site's closed port."""
PRIVATE: Final = "intranet.example.test"
"""Resolves to 10.0.0.1: a public name that leads to a private address."""
UNKNOWN: Final = "unknown.example.test"
"""Does not resolve: left out of AKASHI_HOSTS on purpose."""

TRUSTED: Final = (VIDEOS, CDN, OTHER, AWAY)
LOOPBACK: Final = (*TRUSTED, SELF_SIGNED, EXPIRED, WRONG_NAME, CLOSED)
ADDRESSES: Final = {**dict.fromkeys(LOOPBACK, "127.0.0.1"), PRIVATE: "10.0.0.1"}
