"""Child processes: Chromium, yt-dlp, ffmpeg and every parser of fetched bytes, on a short leash.

Each has limits, a session and a folder of its own, and an environment that is made from nothing,
so that no secret is in it. As root it runs as the user `akashi`, without a way back
(`no_new_privs`; Chromium's own sandbox works so, through user namespaces). When Akashi is killed,
even with -9, the kernel kills the child.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process, SubprocessStreamProtocol
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any, Final, Self

from evidence.errors import UsageError
from pipelines.child_python import python_argv
from storage.home import CHILD_USER, child_user

__all__ = [
    "ChildResult",
    "Limits",
    "child_argv",
    "child_environment",
    "make_workdir",
    "python_argv",
    "run_child",
    "write_wrapper",
]

GRACE_SECONDS: Final = 2.0
"""Between SIGTERM, on which a child may close its files, and SIGKILL."""
STDERR_TAIL: Final = 16 * 1024
LONGEST_LINE: Final = 16 << 20
_PASSED: Final = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")


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
    processes: int | None = 8192

    def as_prlimit(self) -> list[str]:
        """Options of prlimit(1). CPU time ends with SIGXCPU, five seconds later with SIGKILL."""
        options = ["--core=0"]
        if self.cpu_s is not None:
            options.append(f"--cpu={self.cpu_s}:{self.cpu_s + 5}")
        if self.file_bytes is not None:
            options.append(f"--fsize={self.file_bytes}")
        if self.memory_bytes is not None:
            options.append(f"--as={self.memory_bytes}")
        if self.processes is not None and os.geteuid() == 0:
            options.append(f"--nproc={self.processes}")
        return options


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

    Raises UsageError when that user, setpriv or prlimit is missing.
    """
    for tool in ("setpriv", "prlimit"):
        if which(tool) is None:
            raise UsageError(f"{tool} (util-linux) is not installed", next="run make setup")
    identity = []
    if os.geteuid() == 0:
        user = child_user()
        if user is None:
            raise UsageError(f"there is no user {CHILD_USER!r} to run children as", next="run make setup")
        identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [
        *("setpriv", *identity, "--no-new-privs", "--pdeathsig=KILL", "--"),
        *("prlimit", *limits.as_prlimit(), "--"),
        *argv,
    ]


def child_environment(workdir: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A child's whole environment: where programs, certificates and its own folder are; `extra` on top."""
    own = {
        name: str(workdir)
        for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    }
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {"LANG": "C.UTF-8", **passed, **own, **(extra or {})}


def write_wrapper(path: Path, argv: Sequence[str], limits: Limits) -> Path:
    """Write an executable script that runs `argv "$@"` as `child_argv` does; gives its path.

    For what starts a program by its path, as Playwright does: open descriptors stay open, and the
    process keeps its id. `path` must lie where the children's user cannot write.
    """
    command = shlex.join(child_argv(argv, limits))
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
    path.chmod(0o755)
    return path


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
    child = await _Child.start(
        child_argv(argv, limits),
        cwd=workdir,
        env=child_environment(workdir, env),
        stdin=DEVNULL if stdin is None else PIPE,
        stdout=DEVNULL if on_line is None else PIPE,
    )
    tail = bytearray()
    killed = None
    pipes = [
        asyncio.create_task(_feed(child.process, stdin)),
        asyncio.create_task(_read_lines(child.process, on_line)),
        asyncio.create_task(_read_tail(child.process, tail)),
    ]
    try:
        async with asyncio.timeout(timeout):
            await child.ended(pipes)
    except TimeoutError:
        killed = "timeout"
    except asyncio.LimitOverrunError:
        killed = "long-line"
    finally:
        await asyncio.shield(child.end(pipes))
    code = child.process.returncode
    code = -signal.SIGKILL if code is None else code
    return ChildResult(code, tail.decode("utf-8", "replace"), killed or _killed_by(code))


class _Exit(SubprocessStreamProtocol):
    """Says when the process exited, which `Process.wait` does only once its pipes have ended too."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=LONGEST_LINE, loop=loop)
        self.exited = loop.create_future()

    def process_exited(self) -> None:
        super().process_exited()
        if not self.exited.done():
            self.exited.set_result(None)


class _Child:
    """A process in a session of its own, which is its process group as well."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Exit) -> None:
        self.transport = transport
        self.exited = protocol.exited
        self.process = Process(transport, protocol, asyncio.get_running_loop())

    @classmethod
    async def start(cls, argv: Sequence[str], **options: Any) -> Self:
        loop = asyncio.get_running_loop()
        made = await loop.subprocess_exec(
            lambda: _Exit(loop), *argv, stderr=PIPE, start_new_session=True, **options
        )
        return cls(*made)

    async def ended(self, pipes: Sequence[asyncio.Task[None]]) -> None:
        """Wait for the exit, then for what had been written; grandchildren are not waited for."""
        waiting: set[asyncio.Future[None]] = {self.exited, *pipes}
        while not self.exited.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # what on_line raised ends the child
        self.signal_group(signal.SIGKILL)
        await asyncio.gather(*pipes)

    async def end(self, pipes: Sequence[asyncio.Task[None]]) -> None:
        """Leave no process of the group, and no pipe open."""
        if not self.exited.done():
            self.signal_group(signal.SIGTERM)
            await asyncio.wait({self.exited}, timeout=GRACE_SECONDS)
        self.signal_group(signal.SIGKILL)
        await self.exited
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
        self.transport.close()

    def signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


async def _feed(process: Process, data: bytes | None) -> None:
    if process.stdin is None or data is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):  # a child may end before it has read all
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _read_lines(process: Process, on_line: Callable[[str], None] | None) -> None:
    if process.stdout is None or on_line is None:
        return
    while True:
        try:
            line = await process.stdout.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                on_line(end.partial.decode("utf-8", "replace"))
            return
        on_line(line[:-1].decode("utf-8", "replace"))


async def _read_tail(process: Process, tail: bytearray) -> None:
    if process.stderr is None:
        return
    while chunk := await process.stderr.read(STDERR_TAIL):
        tail += chunk
        del tail[:-STDERR_TAIL]


def _killed_by(code: int) -> str | None:
    if code >= 0:
        return None
    return {signal.SIGXCPU: "cpu", signal.SIGXFSZ: "file-size"}.get(signal.Signals(-code), f"signal {-code}")
