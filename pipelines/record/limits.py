"""What one recording may take at most, whatever a page or server does; docs/limits.md says what happens then.

Beside these, `timeout`, `page_timeout`, `max_bytes` and `page_max_bytes` of the settings.
"""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 1 << 18
"""Of an answer's head, and of all interim heads (1xx) before it. Chromium itself has the same limit."""
CONTENT_BYTES: Final = 1 << 28
"""Of a body that came with content codings, decoded to be digested: a decompression bomb ends here."""
PAGE_REQUESTS: Final = 10_000
"""Of one page, each redirect counted."""
PAGE_WINDOWS: Final = 20
"""That a page may open; further ones are closed at once."""
DOM_CHARACTERS: Final = 32 << 20
"""Of `dom.html`."""
TITLE_CHARACTERS: Final = 2000
BROWSER_DATA: Final = 4 << 30
"""Bytes of writable memory of each of Chromium's processes."""
VIDEO_MEMORY: Final = 2 << 30
"""Bytes of address space of the video child."""
