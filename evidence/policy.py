r"""Trust policies (c2sp.org/tlog-policy): whose logs are believed, and whose cosignatures are enough.

    # a comment has a line of its own
    log akashi.invalid/5f2c61d0+1f3c…+AQ…
    witness university witness.example/w1+8d66cf3f+BA… https://witness.example/w1
    witness notary notary.example+4c0d9e21+BA…
    group partners any university notary
    quorum partners

A name is used after the line that defines it, at most once as a member, so that each witness counts
in one way only. Two keys of one kind are never the same. Names are octets, not text. The last line
ends as all others do: a file that was cut is none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from evidence.checkpoint import Checkpoint, parse_checkpoint
from evidence.cosignature import Cosignature, CosignerKey, cosignatures
from evidence.errors import NoteError, PolicyError
from evidence.note import VerifierKey

MAX_POLICY: Final = 1 << 20
NONE: Final = "none"
"""The quorum that asks for no witness; no witness or group may be named so."""

_OCTETS: Final = re.compile(rb"[\t\n\x20-\x7e\x80-\xff]*")
_BLANK: Final = re.compile(r"[\t ]+")
_THRESHOLD: Final = re.compile(r"[1-9][0-9]{0,5}")

K = TypeVar("K", bound=VerifierKey)


class Known(NamedTuple):
    """A witness of the policy: its key, and where it takes checkpoints; empty if that is not said."""

    key: CosignerKey
    url: str


class Group(NamedTuple):
    """At least `threshold` of the members, witnesses or groups, must have witnessed."""

    threshold: int
    members: tuple[str, ...]


class Judgement(NamedTuple):
    """What a policy says of one checkpoint."""

    checkpoint: Checkpoint
    cosigned: Mapping[str, Cosignature]
    """By the name that the policy gives the witness: each one whose cosignature verified."""
    met: bool
    """Whether they are the quorum."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read; `sha256` (hex) names the file's exact bytes."""

    sha256: str
    logs: Mapping[VerifierKey, str] = field(default_factory=dict)
    witnesses: Mapping[str, Known] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str = NONE

    @classmethod
    def parse(cls, data: bytes) -> Policy:
        """The policy of exactly these bytes.

        Raises PolicyError; its rule is `policy-size`, `policy-octet`, `policy-newline`, `policy-line`,
        `policy-key`, `policy-duplicate`, `policy-name`, `policy-group` or `policy-quorum`.
        """
        if len(data) > MAX_POLICY:
            raise PolicyError(f"{len(data)} bytes exceed {MAX_POLICY}", rule="policy-size")
        if not _OCTETS.fullmatch(data):
            raise PolicyError("a control character, such as a carriage return", rule="policy-octet")
        if data[-1:] != b"\n":
            raise PolicyError("the last line has no newline: was the file cut?", rule="policy-newline")
        reader = _Reader()
        for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
            words = _BLANK.sub(" ", line).strip(" ").split(" ")
            if words != [""] and not words[0].startswith("#"):
                try:
                    reader.read(words)
                except PolicyError as error:
                    raise PolicyError(f"line {number}: {error.detail}", rule=error.rule) from error
        if reader.quorum is None:
            raise PolicyError("no quorum is defined", rule="policy-quorum")
        sha256 = hashlib.sha256(data).hexdigest()
        return cls(sha256, reader.logs, reader.witnesses, reader.groups, reader.quorum)

    def judge(self, note: bytes, logs: Sequence[VerifierKey] = (), *, latest: int | None = None) -> Judgement:
        """What stands below a checkpoint that a log of the policy signed, or one of `logs` if it names none.

        `latest` (Unix seconds) is the time after which no cosignature can have been made. A signature
        by a key that is known and does not verify condemns the note, needed or not. Raises NoteError.
        """
        checkpoint = parse_checkpoint(note, tuple(self.logs) or logs)
        verified = cosignatures(note, [known.key for known in self.witnesses.values()], latest=latest)
        by_key = {one.key: one for one in verified}
        cosigned = {name: by_key[one.key] for name, one in self.witnesses.items() if one.key in by_key}
        witnessed = {NONE, *cosigned}
        for name, group in self.groups.items():  # in the order of definition: members come first
            if len(witnessed.intersection(group.members)) >= group.threshold:
                witnessed.add(name)
        return Judgement(checkpoint, cosigned, self.quorum in witnessed)

    def check(self, note: bytes, logs: Sequence[VerifierKey] = (), *, latest: int | None = None) -> Judgement:
        """`judge`, and NoteError (rule `quorum`) unless the quorum is met."""
        judgement = self.judge(note, logs, latest=latest)
        if not judgement.met:
            by = ", ".join(map(repr, judgement.cosigned)) or "nobody"
            raise NoteError(f"the quorum {self.quorum!r} is not met: cosigned by {by}", rule="quorum")
        return judgement


class _Reader:
    """What the lines read so far have defined."""

    def __init__(self) -> None:
        self.logs: dict[VerifierKey, str] = {}
        self.witnesses: dict[str, Known] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()

    def read(self, words: list[str]) -> None:
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                self.logs[_key(VerifierKey, vkey, self.logs)] = "".join(url)
            case ["witness", name, vkey, *url] if len(url) <= 1:
                known = [one.key for one in self.witnesses.values()]
                self.witnesses[self._new(name)] = Known(_key(CosignerKey, vkey, known), "".join(url))
            case ["group", name, threshold, *members] if members:
                self.groups[self._new(name)] = self._group(threshold, members)
            case ["quorum", name]:
                if self.quorum is not None:
                    raise PolicyError("a second quorum", rule="policy-quorum")
                self.quorum = name if name == NONE else self._defined(name)
            case _:
                raise PolicyError(f"not a line of a policy: {words[0]!r} …", rule="policy-line")

    def _new(self, name: str) -> str:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise PolicyError(f"the name {name!r} is taken", rule="policy-name")
        return name

    def _defined(self, name: str) -> str:
        if name not in self.witnesses and name not in self.groups:
            raise PolicyError(f"nothing above is named {name!r}", rule="policy-name")
        return name

    def _group(self, threshold: str, members: list[str]) -> Group:
        for name in members:
            if self._defined(name) in self._members:
                raise PolicyError(f"{name!r} is a member for the second time", rule="policy-group")
            self._members.add(name)
        number = {"any": "1", "all": str(len(members))}.get(threshold, threshold)
        if not _THRESHOLD.fullmatch(number) or int(number) > len(members):
            raise PolicyError(f"{threshold!r} of {len(members)} is no threshold", rule="policy-group")
        return Group(int(number), tuple(members))


def _key(kind: type[K], vkey: str, others: Sequence[K] | Mapping[K, str]) -> K:
    try:
        key = kind.parse(vkey)
    except (NoteError, UnicodeEncodeError) as error:
        raise PolicyError(f"{vkey!r}: {error}", rule="policy-key") from error
    if any(key.public == other.public for other in others):
        raise PolicyError(f"{vkey} is the key of another line", rule="policy-duplicate")
    return key
