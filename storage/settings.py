"""Configuration: `akashi.toml` (or `AKASHI_…` variables) over defaults that work with none.

Precedence: a variable, then the file (`AKASHI_CONFIG`, else ./akashi.toml, else
<home>/akashi.toml), then the default below. Secrets come from the environment or from a file
with mode 0600, never from akashi.toml. Every key is documented in akashi.example.toml.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from evidence.errors import UsageError
from storage.home import Home

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default and unit; the field's name is the key in akashi.toml."""

    home: Home = field(default_factory=Home.from_environment)
    store_endpoint: str = ""
    """S3 endpoint URL; empty: the embedded store."""
    store_bucket: str = "akashi"
    store_region: str = "us-east-1"
    store_retention_days: int = 30
    """Lock on every object, in days; a case extends it."""
    store_profile: str = "governance"
    """`governance`, or `legal`: COMPLIANCE locks, and refusal of a store or sandbox that lacks anything."""
    ledger_origin: str = ""
    """The log's name in checkpoints; empty: `akashi.invalid/<8 hex of its key>`."""
    ledger_signer: str = ""
    """Where `akashi ledger sign` holds the log's key: `unix:/path`, `http://127.0.0.1:port`, `https://…`; empty: here."""
    ledger_policy: str = ""
    """File (c2sp.org/tlog-policy) that names the log's witnesses, their URLs and the quorum; empty: none."""
    ledger_allow_private: bool = False
    """Witnesses and timestamp authorities may be at addresses that are not public."""
    ledger_database: str = ""
    """PostgreSQL URL of the sequencer that several machines share; empty: SQLite in the home."""
    timestamp_authorities: list[str] = field(
        default_factory=lambda: ["http://timestamp.digicert.com", "http://timestamp.sectigo.com"]
    )
    """RFC 3161 authorities (URLs) that stamp checkpoints; none: no outside time."""
    timestamp_roots: list[str] = field(default_factory=list)
    """PEM files of the roots that their certificates must reach; none: those that certifi brings."""
    timestamp_minutes: int = 60
    """How old the newest timestamp may be before the end of a run asks for another."""
    operator: str = ""
    """Name of the person responsible; empty: the operating system's user."""
    contact: str = ""
    """URL or address in the crawler's User-Agent, so that a site can reach you."""
    timeout: float = 300.0
    """Seconds for one capture's page and video each."""
    page_timeout: float = 45.0
    """Seconds for a page to load and settle."""
    max_bytes: int = 4096 * MIB
    """Bytes of one video file."""
    page_max_bytes: int = 256 * MIB
    """Bytes that a page may receive before its recording is closed."""
    player_seconds: float = 5.0
    """Seconds that the page's player may run; 0: it is not started."""
    player_max_bytes: int = 8 * MIB
    """Bytes that may come while it does."""
    browser: str = ""
    """Which Chromium, by name or path; empty: the machine's. `chromium-headless-shell` takes half the CPU."""
    sandbox: str = "auto"
    """Chromium's sandbox: auto, on or off."""
    page_recorder: str = "auto"
    """auto: `netlog` if the canary finds it exact here, else `cdp`; or one of these, always."""
    locale: str = "ja-JP"
    timezone: str = "Asia/Tokyo"
    client_emulation: bool = False
    """TLS impersonation and invented device ids in yt-dlp: off by default, recorded either way."""

    @classmethod
    def load(cls) -> Settings:
        """Read the file and the environment. Raises UsageError naming the key that is wrong."""
        home = Home.from_environment()
        values: dict[str, Any] = {"home": home}
        for source, raw in (*_from_file(home).items(), *_from_environment().items()):
            values[source] = _convert(source, raw)
        settings = cls(**values)
        if settings.store_profile not in {"governance", "legal"}:
            raise UsageError(f"store_profile is {settings.store_profile!r}", next="use governance or legal")
        if settings.sandbox not in {"auto", "on", "off"}:
            raise UsageError(f"sandbox is {settings.sandbox!r}", next="use auto, on or off")
        if settings.page_recorder not in {"auto", "netlog", "cdp"}:
            raise UsageError(f"page_recorder is {settings.page_recorder!r}", next="use auto, netlog or cdp")
        return settings


_TYPES: Final = {f.name: f.type for f in fields(Settings) if f.name != "home"}


def _from_file(home: Home) -> dict[str, Any]:
    named = os.environ.get("AKASHI_CONFIG")
    candidates = [Path(named)] if named else [Path("akashi.toml"), home.root / "akashi.toml"]
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        if named:
            raise UsageError(f"AKASHI_CONFIG names {named}, which is not a file", next="correct the path")
        return {}
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: {error}", next="correct the file") from error
    unknown = sorted(set(document) - set(_TYPES))
    if unknown:
        raise UsageError(f"{path}: unknown key {unknown[0]!r}", next="see akashi.example.toml for the keys")
    return document


def _from_environment() -> dict[str, str]:
    named = {name: os.environ.get(f"AKASHI_{name.upper()}") for name in _TYPES}
    return {name: value for name, value in named.items() if value is not None}


def _convert(name: str, raw: Any) -> Any:
    kind = _TYPES[name]
    try:
        if kind == "bool":
            if isinstance(raw, bool):
                return raw
            return {"1": True, "true": True, "0": False, "false": False}[str(raw).lower()]
        if kind in {"int", "float"} and not isinstance(raw, bool):
            return int(raw) if kind == "int" else float(raw)
        if kind == "str" and isinstance(raw, str):
            return raw
        if kind == "list[str]" and isinstance(raw, str):
            return [part.strip() for part in raw.split(",") if part.strip()]
        if kind == "list[str]" and isinstance(raw, list) and all(isinstance(item, str) for item in raw):
            return raw
    except (KeyError, ValueError):
        pass
    raise UsageError(f"{name} is {raw!r}, which is no {kind}", next=f"correct {name} (AKASHI_{name.upper()})")
