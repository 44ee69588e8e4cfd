"""The chart: a panel a case, a bar a tool, as long as its CPU seconds; what it left beside it. Plain SVG 1.1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

WIDTH: Final = 980
_LEFT: Final = 200
_RIGHT: Final = 300
"""Pixels right of the longest bar, for its words."""
_ROW: Final = 24
_BAR: Final = 14
_PANEL_HEAD: Final = 62
_TOP: Final = 118
_COLOURS: Final = {"floor": "#c3c9d4", "ours": "#d1495b", "whole": "#2e6f95", "part": "#8fb4cc"}
_FLOOR: Final = ("yt-dlp", "Playwright")
"""Together the shared floor: the same job without evidence."""
_LEGEND: Final = (
    ("floor", "bare tool, keeps no evidence"), ("ours", "Akashi"),
    ("whole", "others: the video's exchange in a WARC"), ("part", "others: without it"),
)  # fmt: skip
_STYLE: Final = """
text { font-family: 'Inter', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif; fill: #1d2433;
  font-size: 13px; paint-order: stroke; stroke: #ffffff; stroke-width: 4px }
.title { font-size: 22px; font-weight: 600 } .case { font-size: 15px; font-weight: 600 }
.soft { fill: #667085; font-size: 12px } .ours { font-weight: 600 } .number { font-weight: 600 }
.floor { stroke: #667085; stroke-width: 1.2; stroke-dasharray: 4 3 }
.axis { stroke: #e4e7ec; stroke-width: 1 } .range { stroke: #1d2433; stroke-width: 1.2 }
"""


def draw(result: Mapping[str, Any]) -> str:
    """The whole picture."""
    panels, y = [], _TOP
    for case, about in result["cases"].items():
        rows = [row for row in result["rows"] if row["case"] == case and not row["code"]]
        panels.append("\n".join(_panel(case, about, rows, y)))
        y += _PANEL_HEAD + _ROW * len(rows) + 26
    told = f"{result['date']} · {result['machine']} · {result['rounds']} rounds, medians, whiskers smallest to largest"
    if any(row["times"] != 1 for row in result["rows"]):
        told += " · † fewer posts, multiplied"
    head = begun("CPU seconds to secure a page and its video", told, y)
    return "\n".join([*head, *_legend(), *panels, "</svg>\n"])


def begun(title: str, told: str, height: float) -> Iterator[str]:
    """A picture's first lines: its frame, its title and what it was measured on."""
    box = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img">'
    yield f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    yield f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    yield f'<text x="28" y="42" class="title">{escape(title)}</text>'
    yield f'<text x="28" y="64" class="soft">{escape(told)}</text>'


def _legend() -> Iterator[str]:
    x = 28
    for name, about in _LEGEND:
        yield f'<rect x="{x}" y="82" width="12" height="12" rx="2" fill="{_COLOURS[name]}"/>'
        yield f'<text x="{x + 18}" y="93" class="soft">{about}</text>'
        x += 44 + 7 * len(about)


def _panel(case: str, about: str, rows: Sequence[Mapping[str, Any]], top: int) -> Iterator[str]:
    longest = max(row["cpu_range"][1] for row in rows)
    step = _step(longest)
    scale = (WIDTH - _LEFT - _RIGHT) / longest
    bottom = top + _PANEL_HEAD + _ROW * len(rows)
    yield f'<text x="28" y="{top + 24}" class="case">{escape(case)}  ·  {escape(about)}</text>'
    for number in range(int(longest / step) + 1):
        x = _LEFT + number * step * scale
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 52}" y2="{bottom}" class="axis"/>'
        unit = " s" if number == 0 else ""
        yield f'<text x="{x:.1f}" y="{top + 47}" text-anchor="middle" class="soft">{number * step:g}{unit}</text>'
    floor = sum(row["cpu"] for row in rows if row["tool"] in _FLOOR)
    if 0 < floor < longest:
        x = _LEFT + floor * scale
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 34}" y2="{bottom}" class="floor"/>'
        yield f'<text x="{x + 5:.1f}" y="{top + 33}" class="soft">yt-dlp + Playwright: {floor:.2f}</text>'
    for number, row in enumerate(rows):
        yield from _bar(row, top + _PANEL_HEAD + number * _ROW, scale)


def _bar(row: Mapping[str, Any], y: int, scale: float) -> Iterator[str]:
    ours = "Akashi" in row["tool"]
    others = "whole" if row["video"] == "exchange" else "part"
    kind = "floor" if row["floor"] else "ours" if ours else others
    middle, (low, high) = y + _BAR / 2, row["cpu_range"]
    width = max(row["cpu"] * scale, 1)
    name = escape(row["tool"] + (" †" if row["times"] != 1 else ""))
    bold = "ours" if ours else ""
    yield f'<text x="{_LEFT - 12}" y="{y + 11}" text-anchor="end" class="{bold}">{name}</text>'
    yield f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{_COLOURS[kind]}"/>'
    if row["n"] > 1:
        left, right = _LEFT + low * scale, _LEFT + high * scale
        yield f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}" class="range"/>'
        for x in (left, right):
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{middle - 3}" y2="{middle + 3}" class="range"/>'
    end = _LEFT + max(width, high * scale) + 8
    yield (
        f'<text x="{end:.1f}" y="{y + 11}"><tspan class="number">{row["cpu"]:.2f}</tspan>'
        f'<tspan class="soft" dx="8">{escape(_words(row))}</tspan></text>'
    )


def _words(row: Mapping[str, Any]) -> str:
    """What it left, in a few words."""
    if row["floor"]:
        return ""
    video = {"exchange": "video whole", "resource": "video a copy", "file": "video a file", "no": "no video"}[
        row["video"]
    ]
    recorded = f"{row['recorded']} of {row['served']} exchanges" if row["recorded"] >= 0 else "no WARC"
    return f"{recorded}, {video}"


def _step(longest: float) -> float:
    """A round distance of the axis' marks, about five of them."""
    rough = longest / 5
    unit = float(10 ** math.floor(math.log10(rough)))
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
