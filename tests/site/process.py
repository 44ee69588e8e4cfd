"""The site in a process of its own, so that a benchmark's client does not share its interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.site import names

ROOT = Path(__file__).resolve().parents[2]


class SiteProcess:
    """`python -m tests.site` as a context manager; the same URLs and environment as `Site`."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.site", "--until-eof"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise ChildProcessError(f"the site ended with {self._process.wait()} before it was ready")
        facts = json.loads(line)
        self.port: int = facts["port"]
        self.control: str = facts["control"]
        self._environment: dict[str, str] = facts["environment"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=20)  # closes its input, which ends it
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def url(self, path: str = "/", host: str = names.VIDEOS) -> str:
        """`https://host:port/path`."""
        return f"https://{host}:{self.port}{path}"

    def environment(self) -> dict[str, str]:
        """The variables by which every client of Akashi finds and trusts the site."""
        return dict(self._environment)

    def exchanges(self, since: int = 0) -> list[dict[str, Any]]:
        """The log, each exchange as `ServedExchange.as_json` has it."""
        with urllib.request.urlopen(f"{self.control}/__log?since={since}") as answer:  # noqa: S310
            return [json.loads(line) for line in answer]
