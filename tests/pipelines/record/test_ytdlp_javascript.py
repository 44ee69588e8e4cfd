"""YouTube's player code: yt-dlp's own solver on the pinned runtime, in the child's limits, without network or files."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.child_python import python_argv
from pipelines.children import Limits, make_workdir, run_child
from pipelines.record import ytdlp
from pipelines.record.limits import VIDEO_MEMORY

PLAYER = """
var _yt_player = {};
(function(g){
var first = 1;
function U(){ this.m = {} }
U.prototype.set = function(k, v){ this.m[k] = v };
U.prototype.get = function(k){ return this.m[k] };
U.prototype.turn = function(){ if (this.m.n) this.m.n = this.m.n.split("").reverse().join("") + attempts() };
var turned = function(s){ return s.slice(1) + s[0] };
var make = function(url, key, sig){ var u = new U(url); u.set("alr", "yes"); sig && u.set(key, turned(sig)); return u };
function attempts(){
  var said = "";
  if (typeof process === "undefined") return said;
  var no = function(what, attempt){ try { attempt(); said += "-" + what + "!" } catch (e) { said += "-" + e.code } };
  no("file", function(){ process.getBuiltinModule("fs").readFileSync("/etc/hostname") });
  no("write", function(){ process.getBuiltinModule("fs").writeFileSync("/tmp/akashi-x", "x") });
  no("child", function(){ process.getBuiltinModule("child_process").spawnSync("true") });
  no("worker", function(){ new (process.getBuiltinModule("worker_threads").Worker)("1", {eval: true}) });
  return said + "-net " + process.permission.has("net");
}
%s
})(_yt_player);
"""
ASK = """
import json, sys
from pipelines.record.recording import Recorder
from pipelines.record.ytdlp_policy import refuse_the_rest
from pipelines.record.ytdlp_run import options_of
from pipelines.record.ytdlp_taps import RecordingYoutubeDL
from pipelines.record.ytdlp_wire import Job
from yt_dlp.extractor.youtube.jsc.provider import JsChallengeRequest, JsChallengeType, NChallengeInput, SigChallengeInput
from yt_dlp.extractor.youtube.jsc._director import initialize_jsc_director
facts = json.load(sys.stdin)
job = Job("", [], ".", "socks5h://127.0.0.1:9", "", "", 1, False, facts["node"], 1, 9.0)
refuse_the_rest(job.proxy, job.node)
lines = []
log = type("Log", (), {name: lambda _, line: lines.append(line) for name in ("debug", "warning", "error")})()
options = {**options_of(job), "logger": log, "verbose": True}
ydl = RecordingYoutubeDL(options, Recorder(None, print), lambda _: None, emulation=False)
ie = ydl.get_info_extractor("Youtube")
ie._load_player = lambda *_, **__: facts["player"]
url = "https://www.youtube.com/s/player/0000000a/player_ias.vflset/en_US/base.js"
asked = [
    JsChallengeRequest(JsChallengeType.N, NChallengeInput(url, ["abc"]), "v"),
    JsChallengeRequest(JsChallengeType.SIG, SigChallengeInput(url, ["signature"]), "v"),
]
director = initialize_jsc_director(ie)
answers = [response.output.results for _, response in director.bulk_solve(asked)]
info = ydl._js_runtimes["node"].info
print(json.dumps({"answers": answers, "runtime": [info.name, info.version, info.path], "lines": lines}))
"""


def solved(player: str) -> Any:
    """What yt-dlp's solver makes of a player in a child like the one that downloads."""
    said: list[str] = []
    command = python_argv("pipelines.record.ytdlp_child")
    at = command.index("-m") if "-m" in command else command.index("-c")
    lead = "" if "-m" in command else f"import sys; sys.path.insert(0, {command[-2]!r})\n"
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="akashi-js-") as name:
        Path(name).chmod(0o711)
        folder = make_workdir(Path(name) / "work")
        before = set(folder.rglob("*"))
        result = asyncio.run(
            run_child(
                [*command[:at], "-c", lead + ASK],
                workdir=folder,
                limits=Limits(cpu_s=60, file_bytes=1 << 20, memory_bytes=VIDEO_MEMORY),
                timeout=120,
                on_line=said.append,
                stdin=json.dumps({"node": str(ytdlp._NODE), "player": player}).encode(),
                env={"YTDLP_NO_PLUGINS": "1"},
            )
        )
        assert result.code == 0, result.stderr_tail
        assert set(folder.rglob("*")) == before  # no cache is left
    return json.loads(said[-1])


def test_yt_dlps_solver_runs_a_players_code_without_network_files_or_processes() -> None:
    got = solved(PLAYER % "")
    denied = "-ERR_ACCESS_DENIED" * 4 + "-net false"
    assert got["answers"] == [{"abc": "cba" + denied}, {"signature": "ignatures"}], "\n".join(got["lines"])
    assert got["runtime"][:2] == ["node", "26.13.1"]
    assert any("Solving JS challenges using node" in line for line in got["lines"])
    assert any("source: python package" in line for line in got["lines"])


@pytest.mark.slow
def test_a_player_of_the_usual_size_fits_in_the_childs_memory() -> None:
    filler = "".join(
        f'g.f{n}=function(a,b){{var c={{d:a[{n}],e:"{"x" * 40}"}};return c.d+b}};' for n in range(25_000)
    )
    player = PLAYER % filler
    assert len(player) > 2_400_000
    assert solved(player)["answers"][1] == {"signature": "ignatures"}
