"""Where Akashi keeps its state on this machine (`AKASHI_HOME`), and who may read which part.

<home>/            0711
  keys/            0700   collector and log keys, last (size, root); losing it ends the log: back it up
  ledger.sqlite           the sequencer; rebuilt from the store's segments when lost
  ledger.{publish,sign,sequence,lock}   files that are only locked (flock), as all *.lock
  catalogue.sqlite        the index; rebuilt from the store when lost; never evidence
  store/           0700   the embedded S3 server's data: evidence, unless a real store is configured
  probe.json              what the store was seen to do; trusted for a day
  canary.json             whether Chromium's network log was found exact (pipelines/record/canary.py)
  store-credentials 0600  two lines, if the keys of a configured store are not in the environment
  spool/<id>/      0711   a capture under way; gone once its objects are read back from the store
    work/                 the children's folder, owned by their user
  exports/                 what a person asked for
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evidence.errors import UsageError

_SHARED_SPOOL: Final = Path("/var/tmp/akashi-spool")  # noqa: S108 - made, and looked at, by `make`
CHILD_USER: Final = "akashi"
"""The user that children run as when Akashi itself runs as root (made by `make setup`)."""


@dataclass(frozen=True, slots=True)
class Home:
    """The paths below one AKASHI_HOME."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """`AKASHI_HOME`, else the user's data directory (XDG)."""
        named = os.environ.get("AKASHI_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return cls(Path(data).absolute() / "akashi")

    @property
    def keys(self) -> Path:
        """Private keys and the signer's memory; mode 0700."""
        return self.root / "keys"

    @property
    def ledger(self) -> Path:
        """The sequencer's database."""
        return self.root / "ledger.sqlite"

    @property
    def catalogue(self) -> Path:
        """The rebuildable index."""
        return self.root / "catalogue.sqlite"

    @property
    def store(self) -> Path:
        """The embedded store's data."""
        return self.root / "store"

    @property
    def spool(self) -> Path:
        """Captures under way.

        As root, children run as another user who must be able to walk to their folder; a
        home under /root is closed to them, so the spool then lies under /var/tmp.
        """
        if os.geteuid() != 0 or _open_to_all(self.root):
            return self.root / "spool"
        return _SHARED_SPOOL / hashlib.sha256(bytes(self.root)).hexdigest()[:16]

    def make(self) -> Home:
        """Make the folders that are not there, each with its mode.

        Raises OSError, and UsageError for a spool that somebody else made or could write into.
        """
        for path, mode in ((self.root, 0o711), (self.keys, 0o700), (self.store, 0o700)):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(mode)
        shared = self.spool.parent != self.root
        for path in (self.spool.parent, self.spool) if shared else (self.spool,):
            with suppress(FileExistsError):
                path.mkdir(mode=0o711)
                path.chmod(0o711)
            found = path.lstat()
            ours = found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode)
            if shared and not (ours and found.st_mode & 0o022 == 0):
                raise UsageError(
                    f"{path} is another user's, or others can write into it: what lies there proves nothing",
                    next=f"look who made it, remove it (rm -r {path}), and try again",
                )
        return self


def child_user() -> pwd.struct_passwd | None:
    """The user that children run as, or None when Akashi runs as an ordinary user itself."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(CHILD_USER)
    except KeyError:
        return None


def _open_to_all(path: Path) -> bool:
    """Whether every existing folder on the way to `path` lets any user walk through."""
    return all(p.stat().st_mode & 0o001 for p in (path, *path.parents) if p.exists() and p != path) and (
        not path.exists() or path.stat().st_uid == os.geteuid()
    )
