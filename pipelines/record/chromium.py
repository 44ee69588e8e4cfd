"""One Chromium process for one capture: found, given a profile, a door, a network log, and ended for good.

What it is told, beyond what Playwright tells every Chromium:

    --proxy-server=socks5://127.0.0.1:N     the one door out, which also resolves names
    --proxy-bypass-list=<-loopback>         loopback goes through the door like everything else
    --host-resolver-rules=MAP * ~NOTFOUND   so that nothing else (prefetch, WebRTC) asks the system's resolver
    --disable-quic, WebRTC over the proxy only
    --log-net-log=FIFO --net-log-capture-mode=Everything

Certificates are verified as always. `AKASHI_EXTRA_CA` is added to the NSS database of the profile's
user, which Chromium on Linux trusts beside its own root store.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.async_api import BrowserContext, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError

from evidence.errors import UsageError
from pipelines.children import Limits, child_argv, child_environment, make_workdir, write_wrapper
from pipelines.record.netlog_reader import NetLogReader
from storage.home import child_user
from storage.settings import Settings

VIEWPORT: Final = (1280, 800)
"""CSS pixels, width and height."""
LAUNCH_SECONDS: Final = 30
CLOSE_SECONDS: Final = 5.0
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_sandbox_refused: str = ""
"""What the kernel said when it refused the sandbox; kept for the life of this process (sandbox = auto)."""


class BrowserFailedError(Exception):
    """Chromium is missing, does not start, or died; its text says so, with the next step, in one line."""


@dataclass(frozen=True, slots=True)
class Chromium:
    """A running browser: its one context, the reader of its log, and how it was started."""

    context: BrowserContext
    reader: NetLogReader
    executable: Path
    sandboxed: bool
    sandbox_note: str
    """Why there is no sandbox; empty when there is one."""


def find_chromium(playwright: Playwright | None = None) -> Path:
    """The machine's Chromium, else Playwright's own. Raises BrowserFailedError."""
    for name in _NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    own = Path(playwright.chromium.executable_path) if playwright else None
    if own is not None and own.is_file():
        return own
    raise BrowserFailedError("Chromium is not installed: apt-get install chromium, or run make setup")


def arguments(fifo: Path, port: int, settings: Settings) -> list[str]:
    """What Chromium is told, beyond Playwright's own switches."""
    return [
        f"--proxy-server=socks5://127.0.0.1:{port}",
        "--proxy-bypass-list=<-loopback>",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        f"--log-net-log={fifo}",
        "--net-log-capture-mode=Everything",
        "--disable-quic",
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--disable-client-side-phishing-detection",
        "--disable-domain-reliability",
        "--no-pings",
        f"--lang={settings.locale}",
    ]


def trust(home: Path, authorities: Path) -> None:
    """Make the PEM certificates in `authorities` trusted by a Chromium with that HOME, beside its own roots.

    Raises UsageError when they cannot be read, hold no certificate, or certutil is missing.
    """
    try:
        certificates = _PEM.findall(authorities.read_bytes())
    except OSError as error:
        raise UsageError(f"AKASHI_EXTRA_CA: {error}", next="correct AKASHI_EXTRA_CA") from error
    if not certificates:
        raise UsageError(
            f"AKASHI_EXTRA_CA: no PEM certificate in {authorities}", next="correct AKASHI_EXTRA_CA"
        )
    if shutil.which("certutil") is None:
        raise UsageError("AKASHI_EXTRA_CA needs certutil", next="apt-get install libnss3-tools")
    make_workdir(home / ".pki")
    folder = make_workdir(home / ".pki" / "nssdb")
    _certutil(folder, "-N", "--empty-password")
    for number, certificate in enumerate(certificates):
        _certutil(
            folder, "-A", "-a", "-t", "C,,", "-n", f"akashi-extra-ca-{number}", stdin=certificate + b"\n"
        )


@asynccontextmanager
async def run_chromium(
    *, workdir: Path, port: int, settings: Settings, make_reader: Callable[[Path], NetLogReader]
) -> AsyncIterator[Chromium]:
    """A Chromium of its own, whose every connection goes through the tunnel at `port`.

    `make_reader` gets the path at which to make the log's FIFO. When the block ends, however it ends,
    the browser and all its processes are gone and its log is closed; reading it to the end
    (`reader.finish`) is the caller's. Raises BrowserFailedError, UsageError, OSError.
    """
    with tempfile.TemporaryDirectory(prefix="akashi-browser-") as ours:
        prepared = asyncio.create_task(asyncio.to_thread(_prepare, workdir))
        async with async_playwright() as playwright:
            launcher = _Launcher(playwright, workdir, port, settings, make_reader, Path(ours))
            try:
                await prepared
                yield await launcher.launch()
            finally:
                await asyncio.shield(launcher.end())


class _Launcher:
    """Starts Chromium with the sandbox if it can, and ends it."""

    def __init__(
        self,
        playwright: Playwright,
        workdir: Path,
        port: int,
        settings: Settings,
        make_reader: Callable[[Path], NetLogReader],
        ours: Path,
    ) -> None:
        self._playwright, self._port, self._settings = playwright, port, settings
        self._workdir = workdir
        self._make_reader = make_reader
        self._ours = ours
        self._context: BrowserContext | None = None

    async def launch(self) -> Chromium:
        """The browser, started."""
        global _sandbox_refused  # noqa: PLW0603  # one kernel, one answer: asked once a process
        executable = find_chromium(self._playwright)
        mode = self._settings.sandbox
        if mode == "on" or (mode == "auto" and not _sandbox_refused):
            try:
                return await self._start(executable, sandboxed=True)
            except BrowserFailedError as error:
                if mode == "on" or "sandbox" not in str(error).lower():
                    raise
                _sandbox_refused = str(error)
        return await self._start(executable, sandboxed=False)

    async def _start(self, executable: Path, *, sandboxed: bool) -> Chromium:
        name = "sandboxed" if sandboxed else "open"
        profile = make_workdir(self._workdir / f"profile-{name}")
        fifo = self._workdir / f"netlog-{name}"
        reader = self._make_reader(fifo)
        _give(fifo)
        reader.start()
        width, height = VIEWPORT
        try:
            self._context = await self._playwright.chromium.launch_persistent_context(
                profile,
                executable_path=self._wrapper(executable),
                args=arguments(fifo, self._port, self._settings),
                env=dict(child_environment(self._workdir, self._environment())),
                chromium_sandbox=sandboxed,
                headless=True,
                locale=self._settings.locale,
                viewport={"width": width, "height": height},
                accept_downloads=False,
                downloads_path=make_workdir(self._workdir / "downloads"),
                timeout=LAUNCH_SECONDS * 1000,
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        except PlaywrightError as error:
            await self.end()
            with suppress(OSError):
                await asyncio.to_thread(reader.finish, "the browser did not start")
            raise _not_started(error.message) from error
        note = "" if sandboxed else _sandbox_refused or "switched off (sandbox = off)"
        return Chromium(self._context, reader, executable, sandboxed, note)

    def _environment(self) -> dict[str, str]:
        """Its time zone, and a short TMPDIR: Chromium makes a socket there, whose path may have 107 bytes."""
        self._ours.chmod(0o711)
        return {"TZ": self._settings.timezone, "TMPDIR": str(make_workdir(self._ours / "tmp"))}

    def _wrapper(self, executable: Path) -> Path:
        """A script, where only we can write, that leaves the browser's process id and becomes the browser."""
        child = write_wrapper(self._ours / "child", [str(executable)], _limits(self._settings))
        wrapper = self._ours / "browser"
        wrapper.write_text(f"#!/bin/sh\necho $$ > '{self._ours}/pid'\nexec '{child}' \"$@\"\n", "utf-8")
        wrapper.chmod(0o755)
        return wrapper

    async def end(self) -> None:
        """Close the browser, so that it writes its log to the end; kill what does not go."""
        context, self._context = self._context, None
        if context is not None:
            with suppress(PlaywrightError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await context.close()
        pid_file = self._ours / "pid"
        if pid_file.exists():
            with suppress(ProcessLookupError):
                os.killpg(int(pid_file.read_text("ascii")), signal.SIGKILL)
            pid_file.unlink()


def _prepare(workdir: Path) -> None:
    """The browser's home, empty but for the authorities that it trusts; Playwright starts meanwhile."""
    shutil.rmtree(workdir, ignore_errors=True)
    make_workdir(workdir)
    extra_ca = os.environ.get("AKASHI_EXTRA_CA")
    if extra_ca:
        trust(workdir, Path(extra_ca))


def _limits(settings: Settings) -> Limits:
    return Limits(cpu_s=int(settings.page_timeout) * 4 + 60)


def _not_started(message: str) -> BrowserFailedError:
    """Playwright's page-long message as one line: what the browser itself said, else how it begins."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", message).splitlines()]
    said = [line.partition("[err]")[2].strip() for line in lines if "[err]" in line]
    telling = [line for line in said if re.search(r"FATAL|ERROR|sandbox|not found|cannot|No such", line)]
    detail = "; ".join((telling or said or lines)[:3])
    return BrowserFailedError(f"Chromium did not start (akashi doctor says what is missing): {detail[:600]}")


def _give(path: Path) -> None:
    user = child_user()
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _certutil(folder: Path, *options: str, stdin: bytes = b"") -> None:
    """Run certutil as the browser's user, whose database it is."""
    argv = child_argv(["certutil", "-d", f"sql:{folder}", *options], Limits(cpu_s=30))
    result = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env=child_environment(folder),
        cwd="/",
    )
    if result.returncode:
        told = result.stderr.decode("utf-8", "replace").strip()
        raise UsageError(f"AKASHI_EXTRA_CA: certutil: {told}", next="correct AKASHI_EXTRA_CA")
