"""One Chromium process for one capture: found, given a profile, a door, a network log, and ended for good.

Certificates are verified as always. `AKASHI_EXTRA_CA` is added to the NSS database of the profile's
user, which Chromium on Linux trusts beside its own root store.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.async_api import BrowserContext, Playwright, ViewportSize, async_playwright
from playwright.async_api import Error as PlaywrightError

from evidence.errors import CaptureFailedError, UsageError
from pipelines.children import Limits, child_argv, child_environment, make_workdir
from pipelines.record.limits import BROWSER_DATA
from pipelines.record.tap import PageTap
from storage.home import child_user
from storage.settings import Settings

VIEWPORT: Final = (1280, 800)
"""CSS pixels, width and height."""
_LAUNCH_SECONDS: Final = 30
_CLOSE_SECONDS: Final = 5
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_sandbox_refused: str = ""
"""What the kernel said when it refused the sandbox; kept for the life of this process (sandbox = auto)."""


@dataclass(frozen=True, slots=True)
class Chromium:
    """A running browser: its one context, what records it, and how it was started."""

    context: BrowserContext
    tap: PageTap
    facts: dict[str, Any]
    """{executable, version, binary, command_line: of its process, sandbox: {on, note: why not}, viewport, locale, timezone}."""


def find_chromium(playwright: Playwright | None = None, named: str = "") -> Path:
    """The browser that is `named` (`Settings.browser`), else the machine's, else Playwright's own.

    Raises CaptureFailedError.
    """
    found = next(filter(None, map(shutil.which, [named] if named else _NAMES)), None)
    path = found or (playwright.chromium.executable_path if playwright and not named else "")
    if not Path(path).is_file():
        name = named or "chromium"
        raise CaptureFailedError(
            f"{name.capitalize()} is not installed", next=f"apt-get install {name}, or run make setup"
        )
    return Path(path)


def arguments(tap: Sequence[str], port: int, settings: Settings) -> list[str]:
    """What Chromium is told, beyond Playwright's own switches and the tap's; `port` is the one door out's."""
    return [
        f"--proxy-server=socks5://127.0.0.1:{port}",
        "--proxy-bypass-list=<-loopback>",  # loopback goes through the door like everything else
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # the tunnel resolves, nobody else
        *tap,
        "--disable-quic",
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",  # the same, for the headless shell
        f"--lang={settings.locale}",
        # What Playwright's switches leave of the browser's own traffic: a look for models to download, which
        # an override without a file ends, and one for Google accounts, at a port that Chromium itself refuses.
        "--optimization-guide-manifest-override=/nonexistent",
        "--gaia-url=https://accounts.google.com:1",
    ]


def trust(home: Path, authorities: Path) -> None:
    """Make the PEM certificates in `authorities` trusted by a Chromium with that HOME, beside its own roots.

    Raises UsageError when they cannot be read, hold no certificate, or certutil is missing or cannot take them.
    """
    if shutil.which("certutil") is None:
        raise UsageError("certutil is not installed", next="apt-get install libnss3-tools")
    try:
        certificates = _PEM.findall(authorities.read_bytes())
    except OSError as error:
        raise _untrusted(str(error)) from error
    if not certificates:
        raise _untrusted(f"no PEM certificate in {authorities}")
    make_workdir(home / ".pki")
    folder = make_workdir(home / ".pki" / "nssdb")
    _certutil(folder, "-N", "--empty-password")
    for number, certificate in enumerate(certificates):
        name = f"akashi-extra-ca-{number}"
        _certutil(folder, "-A", "-a", "-t", "C,,", "-n", name, stdin=certificate + b"\n")


def _prepare(workdir: Path, authority: Path | None) -> None:
    """Make the browser's home, empty but for the authorities that it trusts."""
    shutil.rmtree(workdir, ignore_errors=True)
    make_workdir(workdir)
    extra_ca = authority or os.environ.get("AKASHI_EXTRA_CA")
    if extra_ca:
        trust(workdir, Path(extra_ca))


@asynccontextmanager
async def run_chromium(
    *,
    workdir: Path,
    port: int,
    settings: Settings,
    make_tap: Callable[[Path], PageTap],
    authority: Path | None = None,
) -> AsyncIterator[Chromium]:
    """A Chromium of its own, whose every connection goes through the tunnel at `port`.

    `make_tap` gets the path at which to make a log's FIFO, should it need one. When the block ends, however it ends,
    the browser and all its processes are gone; `tap.finish` is the caller's. It trusts `authority` (PEM),
    by default AKASHI_EXTRA_CA, beside its own roots. Raises CaptureFailedError, UsageError, OSError.
    """
    prepared = asyncio.create_task(
        asyncio.to_thread(_prepare, workdir, authority)
    )  # Playwright starts meanwhile
    try:
        with tempfile.TemporaryDirectory(prefix="akashi-browser-") as ours:
            async with async_playwright() as playwright:
                launcher = _Launcher(playwright, workdir, port, settings, make_tap, Path(ours))
                try:
                    await prepared
                    yield await launcher.launch()
                finally:
                    await asyncio.shield(launcher.end())
    except Exception as error:
        if type(error) is not Exception:
            raise
        await prepared  # a driver that dies is nothing but an `Exception` to Playwright
        raise CaptureFailedError(f"Playwright's driver died: {error}", next="capture it again") from error


@dataclass
class _Launcher:
    """Starts Chromium with the sandbox if it can, and ends it."""

    playwright: Playwright
    workdir: Path
    port: int
    settings: Settings
    make_tap: Callable[[Path], PageTap]
    ours: Path
    """A folder where only we can write."""
    context: BrowserContext | None = None
    tap: PageTap | None = None
    """Of the browser that runs."""

    async def launch(self) -> Chromium:
        """The browser, started."""
        global _sandbox_refused  # noqa: PLW0603  # one kernel, one answer: asked once a process
        mode = "on" if self.settings.store_profile == "legal" else self.settings.sandbox
        if mode == "on" or (mode == "auto" and not _sandbox_refused):
            try:
                return await self._start(sandboxed=True)
            except CaptureFailedError as error:
                if mode == "on" or "sandbox" not in error.detail.lower():
                    raise
                _sandbox_refused = error.detail
        return await self._start(sandboxed=False)

    async def _start(self, *, sandboxed: bool) -> Chromium:
        executable = find_chromium(self.playwright, self.settings.browser)
        name = "sandboxed" if sandboxed else "open"
        fifo = self.workdir / f"netlog-{name}"
        tap = self.make_tap(fifo)
        user = child_user()
        if user is not None and fifo.exists():
            os.chown(fifo, user.pw_uid, user.pw_gid, follow_symlinks=False)
        # A script that leaves the browser's process id and becomes the browser, as the children's user.
        limits = Limits(cpu_s=int(self.settings.page_timeout) * 4 + 60, data_bytes=BROWSER_DATA)
        child = shlex.join(child_argv([str(executable)], limits))
        wrapper = self.ours / "browser"
        wrapper.write_text(f"#!/bin/sh\necho $$ > '{self.ours}/pid'\nexec {child} \"$@\"\n", "utf-8")
        wrapper.chmod(0o755)
        self.ours.chmod(0o711)
        # Chromium makes a socket in TMPDIR, whose path may have 107 bytes: not in `workdir`, which may be long.
        told = {"TZ": self.settings.timezone, "TMPDIR": str(make_workdir(self.ours / "tmp"))}
        viewport: ViewportSize = {"width": VIEWPORT[0], "height": VIEWPORT[1]}
        profile = make_workdir(self.workdir / f"profile-{name}")
        try:
            self.context = await self.playwright.chromium.launch_persistent_context(
                profile,
                executable_path=wrapper,
                args=arguments(tap.switches, self.port, self.settings),
                env={**child_environment(self.workdir, told)},
                chromium_sandbox=sandboxed,
                locale=self.settings.locale,
                viewport=viewport,
                accept_downloads=False,
                timeout=_LAUNCH_SECONDS * 1000,
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        except PlaywrightError as error:
            await self.end()
            raise CaptureFailedError(
                f"Chromium did not start: {_said(error.message)[:600]}",
                next="akashi doctor says what is missing",
            ) from error
        browser = self.context.browser
        facts = {
            "executable": str(executable),
            "version": browser.version if browser else "",
            **self._process(executable),
            "sandbox": {"on": sandboxed, "note": "" if sandboxed else _sandbox_refused or "switched off"},
            "viewport": viewport,
            "locale": self.settings.locale,
            "timezone": self.settings.timezone,
        }
        self.tap = tap
        await tap.attach(profile)
        return Chromium(self.context, tap, facts)

    def _process(self, executable: Path) -> dict[str, str]:
        """The program that runs (`executable` may be a script that became it), and its command line."""
        with suppress(OSError):  # no /proc, or gone already
            process = Path("/proc", (self.ours / "pid").read_text("ascii").strip())
            line = (process / "cmdline").read_bytes().rstrip(b"\0").decode("utf-8", "replace")
            return {"binary": str((process / "exe").readlink()), "command_line": line.replace("\0", " ")}
        return {"binary": str(executable.resolve())}

    async def end(self) -> None:
        """Close the browser, so that it writes its log to the end; kill what does not go."""
        context, self.context = self.context, None
        if context is not None:
            if self.tap is not None:
                await self.tap.settle()
            with suppress(PlaywrightError, TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await context.close()
        pid_file = self.ours / "pid"
        if pid_file.exists():
            with suppress(ProcessLookupError):
                os.killpg(int(pid_file.read_text("ascii")), signal.SIGKILL)
            pid_file.unlink()


def _said(message: str) -> str:
    """Of Playwright's page-long message the cause: the browser's last error lines, else how it ended."""
    message = re.sub(r"\x1b\[[0-9;]*m", "", message)
    said = list(dict.fromkeys(re.findall(r"\[err\] (.+)", message)))
    telling = [line for line in said if re.search(r"(?i)fatal|error|sandbox|cannot|no such|not found", line)]
    ended = re.findall(r"<process did exit: (.+)>", message)
    return "; ".join((telling or said or ended)[-3:]) or message.splitlines()[0]


def _certutil(folder: Path, *options: str, stdin: bytes = b"") -> None:
    """Run certutil as the browser's user, whose database it is."""
    argv = child_argv(["certutil", "-d", f"sql:{folder}", *options], Limits(cpu_s=30))
    environment = child_environment(folder)
    result = subprocess.run(
        argv, input=stdin, capture_output=True, timeout=60, check=False, env=environment, cwd="/"
    )
    if result.returncode:
        raise _untrusted(result.stderr.decode("utf-8", "replace").strip())


def _untrusted(detail: str) -> UsageError:
    return UsageError(f"AKASHI_EXTRA_CA: {detail}", next="correct AKASHI_EXTRA_CA")
