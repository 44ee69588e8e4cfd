"""Pages from files: `{{name}}` is replaced and escaped, `{{{name}}}` is replaced as it is."""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path

WEB = Path(__file__).parent / "web"


@cache
def web_file(name: str) -> str:
    """The text of web/`name`."""
    return (WEB / name).read_text("utf-8")


def render(name: str, values: dict[str, str]) -> str:
    """web/`name` filled in. Raises KeyError for a name without a value."""
    raw = re.sub(r"\{\{\{(\w+)\}\}\}", lambda m: f"\0{m[1]}\0", web_file(name))
    escaped = re.sub(r"\{\{(\w+)\}\}", lambda m: html.escape(values[m[1]]), raw)
    return re.sub("\0(\\w+)\0", lambda m: values[m[1]], escaped)
