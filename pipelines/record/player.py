"""The page's player: started so that its traffic exists, stopped at a budget of bytes and of time.

Bulk inside a page is dear (its network log is parsed byte for byte), and the whole video is yt-dlp's work.
Pausing alone stops nothing: a paused `<video>` fills its buffer, a player of segments its own. So the one
door (`Tunnel.valve`) holds back all that servers still send, from the pause until the browser is closed.
A page sees a slow network; it is not told that it is offline, which would change what it shows.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from pipelines.record.worlds import Worlds
from pipelines.relay import Valve

_BUTTONS: Final = (
    ".vjs-big-play-button, .ytp-large-play-button, .plyr__control--overlaid, .jw-display-icon-display"
)
"""Of players that load nothing before it is pressed: video.js, YouTube's, Plyr, JW Player."""
_LABEL: Final = "^(play|play video|再生|再生する|動画を再生)$"
_TICK_SECONDS: Final = 0.02


async def play(worlds: Worlds, valve: Valve, *, seconds: float, max_bytes: int) -> list[dict[str, Any]]:
    """Play in every frame until all is there, or the budget is spent; then pause, and shut the valve if more would come.

    Gives, for each frame with a player, {frame, started, pressed, why not, whole, at: ms, ended: whole, bytes,
    time or failed, held: whether the valve is shut}. Raises PlaywrightError.
    """
    clock = asyncio.get_running_loop().time
    deadline, most = clock() + seconds, valve.passed + max_bytes
    playing = asyncio.ensure_future(worlds.everywhere("player", int(seconds * 1000), _BUTTONS, _LABEL))
    try:
        while not playing.done() and clock() < deadline and valve.passed < most:
            await asyncio.wait({playing}, timeout=_TICK_SECONDS)
        if playing.done() and not playing.result():
            return []
        spent = "bytes" if valve.passed >= most else "time"
        if not playing.done():
            valve.shut()
        paused = await worlds.everywhere("pause")
        if any(one.get("open") for one in paused):
            valve.shut()
        players = await playing
    finally:
        playing.cancel()
    for player in players:
        whole = player.get("whole")
        player["ended"] = "whole" if whole else spent if player.get("started") else "failed"
        player["held"] = valve.is_shut
    return players
