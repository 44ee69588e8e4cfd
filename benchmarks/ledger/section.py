"""The ledger's curve for people: its section of docs/benchmarks.md, its chart, and what it must keep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from benchmarks.recording.chart import begun

LIMITS: Final[Mapping[str, tuple[str, float]]] = {
    "appends per s": ("at least", 2000),
    "append p95 ms": ("at most", 250),
    "proof bytes": ("at most", 2048),
    "proof p95 ms": ("at most", 50),
    "check p95 ms": ("at most", 10),
    "audit per s": ("at least", 40_000),
    "memory MB": ("at most", 500),
}
SUSTAINED: Final = {"appends per s": 10_000, "audit per s": 1_000_000}
"""Entries from which a rate is held to its limit: below, it is the processes' start that is measured."""
_TITLES: Final = {
    "appends per s": "appended, entries a second",
    "audit per s": "audited, entries a second",
    "memory MB": "memory of our processes, MB",
    "append p95 ms": "one append acknowledged, p95 ms",
    "proof p95 ms": "a proof from cold tiles, p95 ms",
    "check p95 ms": "the proof checked, p95 ms",
}
_HEAD: Final = """## The ledger, from a thousand entries to ten million

`python -m benchmarks.ledger`, {date}, commit `{commit}`, {machine}. One log in the embedded store that grows tenfold
at a time. *Appended*: sequenced, published as segments, tiles and checkpoint, all synced; the whole growth from the
size before. *One append*: alone, with pauses, until its segment is in the store and signed for. *Proof*: of entries
anywhere, nothing cached, the largest; then checked as a stranger would. *Audited*: every entry and checkpoint re-read
from the store, chain, tree and tiles made again. *Memory*: the most that our processes had together (PSS, looked at
twice a second); the store, which has its own, is not counted.

![The ledger's figures over the number of entries](benchmarks-ledger.svg)
"""
_PANEL: Final = (290, 130)
_STEP: Final = (320, 200)
_TOP: Final = 116


def beyond(rows: Sequence[Mapping[str, Any]], slack: float = 1.0) -> list[str]:
    """A line for each figure that is beyond its limit, and for each finding of an audit of a sound log.

    `slack` widens the limits, for a quick look on a machine that does other things.
    """
    wrong = [f"{row['entries']} entries: the audit found {line}" for row in rows for line in row["findings"]]
    for row in rows:
        for name, (kind, limit) in LIMITS.items():
            if row["entries"] < SUSTAINED.get(name, 0):
                continue
            if row[name] * slack < limit if kind == "at least" else row[name] > limit * slack:
                wrong.append(f"{row['entries']} entries: {name} {row[name]:.1f}, {kind} {limit:g}")
    return wrong


def document(result: Mapping[str, Any]) -> Iterator[str]:
    """The section's lines."""
    rows = result["rows"]
    yield _HEAD.format(**result)
    yield f"| entries | {' | '.join(format(row['entries'], ',') for row in rows)} | limit |"
    yield "|---|" + "---|" * (len(rows) + 1)
    for name, (kind, limit) in LIMITS.items():
        cells = " | ".join(f"{row[name]:,.{0 if row[name] >= 100 else 1}f}" for row in rows)  # noqa: PLR2004
        yield f"| {_TITLES.get(name, 'proof, bytes')} | {cells} | {kind} {limit:,.0f} |"
    yield ""


def draw(result: Mapping[str, Any]) -> str:
    """Six small panels over the same axis, each with its limit. Plain SVG 1.1."""
    rows, height = result["rows"], _TOP + 2 * _STEP[1] + 10
    told = f"{result['date']} · {result['machine']} · one log in the embedded store; dashed: the limit"
    panels = [
        line
        for number, name in enumerate(_TITLES)
        for line in _panel(name, rows, 28 + number % 3 * _STEP[0], _TOP + number // 3 * _STEP[1])
    ]
    head = begun("The ledger from a thousand entries to ten million", told, height)
    return "\n".join([*head, *panels, "</svg>\n"])


def _panel(name: str, rows: Sequence[Mapping[str, Any]], left: float, top: float) -> Iterator[str]:
    width, height = _PANEL
    limit = LIMITS[name][1]
    most = 1.15 * max(limit, *(row[name] for row in rows))
    low, high = (math.log10(rows[at]["entries"]) for at in (0, -1))
    bottom = top + height

    def at(row: Mapping[str, Any]) -> tuple[float, float]:
        share = (math.log10(row["entries"]) - low) / ((high - low) or 1)
        return left + 12 + share * (width - 40), bottom - row[name] / most * (height - 30)

    level = bottom - limit / most * (height - 30)
    yield f'<text x="{left}" y="{top + 10}" class="case">{escape(_TITLES[name])}</text>'
    yield f'<line x1="{left}" x2="{left + width}" y1="{bottom}" y2="{bottom}" class="axis"/>'
    yield f'<line x1="{left}" x2="{left + width}" y1="{level:.1f}" y2="{level:.1f}" class="floor"/>'
    points = [at(row) for row in rows]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{line}" fill="none" stroke="#d1495b" stroke-width="2"/>'
    for row, (x, y) in zip(rows, points, strict=True):
        figure = f"{row[name]:,.0f}" if row[name] >= 10 else f"{row[name]:.1f}"  # noqa: PLR2004
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#d1495b"/>'
        yield f'<text x="{x:.1f}" y="{y - 7:.1f}" text-anchor="middle" class="number">{figure}</text>'
        power = f"10<tspan dy='-4' font-size='9'>{round(math.log10(row['entries']))}</tspan>"
        yield f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle" class="soft">{power}</text>'
