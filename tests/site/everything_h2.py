"""The everything page over HTTP/2, served by Playwright's own Node (tests/site/everything_h2.js)."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import playwright

from tests.site import names
from tests.site.authority import Authority

NODE = Path(playwright.__file__).parent / "driver" / "node"
SCRIPT = Path(__file__).with_name("everything_h2.js")


class SiteH2:
    """Serves while the block runs; `served` is then what the server says it received and sent."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="akashi-site-h2-")
        made = Path(self._folder.name)
        made.chmod(0o755)  # children run as another user
        authority = Authority()
        self._identity, self.ca = made / "identity.pem", made / "root.pem"
        self._identity.write_bytes(authority.leaf(names.VIDEOS, names.OTHER).pem())
        self.ca.write_bytes(authority.root_pem())
        self.ca.chmod(0o644)
        self.served: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        command = [str(NODE), str(SCRIPT), str(self._identity)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        port = json.loads(self._process.stdout.readline())["port"]
        self.origin = f"https://{names.VIDEOS}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            process.terminate()
            assert process.stdout
            self.served = [json.loads(line) for line in process.stdout]
        self._folder.cleanup()

    def environment(self) -> dict[str, str]:
        """The variables by which every client of Akashi finds and trusts the site."""
        hosts = ",".join(f"{name}=127.0.0.1" for name in (names.VIDEOS, names.OTHER))
        return {"AKASHI_HOSTS": hosts, "AKASHI_EXTRA_CA": str(self.ca)}
