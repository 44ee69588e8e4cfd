"""Child processes: Chromium, yt-dlp, ffmpeg and every parser of fetched bytes, on a short leash.

Each has limits, a session and a folder of its own, and an environment that is made from nothing,
so that no secret is in it. As root it runs as the user `akashi`, without a way back
(`no_new_privs`; Chromium's own sandbox works so, through user namespaces). When Akashi is killed,
even with -9, the kernel kills the child.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process, SubprocessStreamProtocol
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evidence.errors import UsageError
from storage.home import CHILD_USER, child_user

GRACE_SECONDS: Final = 2.0
"""Between SIGTERM, on which a child may close its files, and SIGKILL."""
STDERR_TAIL: Final = 16 * 1024
LONGEST_LINE: Final = 16 << 20
_PASSED: Final = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
_OWN: Final = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process may use; None: no limit.

    `memory_bytes` is address space, which Chromium reserves by the terabyte: leave it None there.
    `processes` counts all processes and threads of the children's user, and only as root.
    """

    cpu_s: int | None = None
    file_bytes: int | None = None
    """Size of any one file that it writes."""
    memory_bytes: int | None = None
    data_bytes: int | None = None
    """Writable memory of its own, reserved or not."""
    processes: int | None = 8192

    def as_prlimit(self) -> list[str]:
        """Options of prlimit(1). CPU time ends with SIGXCPU, five seconds later with SIGKILL."""
        limits = {
            "cpu": None if self.cpu_s is None else f"{self.cpu_s}:{self.cpu_s + 5}",
            "fsize": self.file_bytes,
            "as": self.memory_bytes,
            "data": self.data_bytes,
            "nproc": self.processes if os.geteuid() == 0 else None,
        }
        return ["--core=0", *(f"--{name}={limit}" for name, limit in limits.items() if limit is not None)]


@dataclass(frozen=True, slots=True)
class ChildResult:
    """How a child ended; `code` is negative for a signal.

    `killed` names what ended it, if not itself: `timeout`, `cpu`, `file-size`, `long-line`, `signal N`.
    """

    code: int
    stderr_tail: str
    killed: str | None = None


def child_argv(argv: Sequence[str], limits: Limits) -> list[str]:
    """The command that runs `argv` under its limits, as the children's user when we are root.

    Raises UsageError when there is no such user.
    """
    identity = []
    if os.geteuid() == 0:
        user = child_user()
        if user is None:
            raise UsageError(f"there is no user {CHILD_USER!r} to run children as", next="run make setup")
        identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    leash = ["setpriv", *identity, "--no-new-privs", "--pdeathsig=KILL", "--"]
    return [*leash, "prlimit", *limits.as_prlimit(), "--", *argv]


def child_environment(workdir: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A child's whole environment: where programs, certificates and its own folder are; `extra` on top."""
    own = dict.fromkeys(_OWN, str(workdir))
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {"LANG": "C.UTF-8", **passed, **own, **(extra or {})}


def make_workdir(path: Path) -> Path:
    """A folder for children to write in: 0700, theirs when we are root.

    Parents are made too. Raises OSError, for a symbolic link as well: a child could have laid one
    that would give it a folder of ours.
    """
    path.mkdir(parents=True, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        user = child_user()
        if user is not None:
            os.fchown(folder, user.pw_uid, user.pw_gid)
        os.fchmod(folder, 0o700)
    finally:
        os.close(folder)
    return path


async def run_child(
    argv: Sequence[str],
    *,
    workdir: Path,
    limits: Limits,
    timeout: float,  # noqa: ASYNC109  # the child's, which is killed then; the caller's own would only stop waiting
    on_line: Callable[[str], None] | None = None,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> ChildResult:
    """Run a child in `workdir` to its end, `timeout` seconds at most.

    `on_line` has each line of its stdout; what that raises ends the child and is raised here. `env`
    is added to its environment. The whole process group is gone when this returns, however it ends;
    on cancellation too. Raises UsageError (child_argv), OSError when it cannot be started.
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: _Protocol(loop),
        *child_argv(argv, limits),
        cwd=workdir,
        env=child_environment(workdir, env),
        stdin=DEVNULL if stdin is None else PIPE,
        stdout=DEVNULL if on_line is None else PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    process = Process(transport, protocol, loop)
    tail = bytearray()
    killed = None
    # Once the child has ended, no grandchild may hold its pipes open.
    protocol.exited.add_done_callback(lambda _: _signal_group(process, signal.SIGKILL))
    pipes = [
        asyncio.create_task(_feed(process.stdin, stdin or b"")),
        asyncio.create_task(_read_lines(process.stdout, on_line)),
        asyncio.create_task(_read_tail(process.stderr, tail)),
    ]
    try:
        async with asyncio.timeout(timeout):
            await asyncio.shield(asyncio.gather(protocol.exited, *pipes))
    except TimeoutError:
        killed = "timeout"
    except asyncio.LimitOverrunError:
        killed = "long-line"
    finally:
        await asyncio.shield(_end(process, protocol.exited, pipes))
        transport.close()
    code = transport.get_returncode() or 0
    if code < 0 and killed is None:
        killed = {-signal.SIGXCPU: "cpu", -signal.SIGXFSZ: "file-size"}.get(code, f"signal {-code}")
    return ChildResult(code, tail.decode("utf-8", "replace"), killed)


class _Protocol(SubprocessStreamProtocol):
    """Says when the process exited, which `Process.wait` does only once its pipes have ended too."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(LONGEST_LINE, loop)
        self.exited: asyncio.Future[None] = loop.create_future()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set_result(None)


async def _end(process: Process, exited: asyncio.Future[None], pipes: Sequence[asyncio.Task[None]]) -> None:
    """Leave no process of the group, and nobody at its pipes."""
    if not exited.done():
        _signal_group(process, signal.SIGTERM)
        await asyncio.wait({exited}, timeout=GRACE_SECONDS)
        _signal_group(process, signal.SIGKILL)
        await exited
    for pipe in pipes:
        pipe.cancel()
    await asyncio.gather(*pipes, return_exceptions=True)


def _signal_group(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def _feed(stdin: asyncio.StreamWriter | None, data: bytes) -> None:
    if stdin is not None:
        stdin.write(data)
        with suppress(BrokenPipeError, ConnectionResetError):  # a child may end before it has read all
            await stdin.drain()
        stdin.close()


async def _read_lines(stdout: asyncio.StreamReader | None, on_line: Callable[[str], None] | None) -> None:
    while stdout is not None and on_line is not None:
        try:
            line = await stdout.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                on_line(end.partial.decode("utf-8", "replace"))
            return
        on_line(line[:-1].decode("utf-8", "replace"))


async def _read_tail(stderr: asyncio.StreamReader | None, tail: bytearray) -> None:
    while stderr is not None and (chunk := await stderr.read(STDERR_TAIL)):
        tail += chunk
        del tail[:-STDERR_TAIL]
