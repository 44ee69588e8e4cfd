"""The manifest's declaration, v 1: every key, its type, its meaning; evidence/manifest.py uses it.

Frozen: a key may be added as `NotRequired`, none changes its meaning or leaves. Text that is not
known is empty, a number that is not known is null. All sizes are bytes, all units are in the name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from evidence.clock import Clock
from evidence.entry import Code, DigestsJson
from evidence.shape import Count, Hex32, Key, Sha256, Sha256OrEmpty, Sha512, Slug, Text, Ulid, Utc

RecordId = Annotated[
    str,
    "a WARC record id like <urn:uuid:…>",
    lambda value: value.startswith("<urn:uuid:") and value.endswith(">"),
]
Ended = Annotated[str, "a UTC time, or empty", lambda value: value == "" or value.endswith("Z")]


class CaptureFacts(TypedDict):
    """Which attempt this is; `started_entry` is the ledger index of its `capture.started`."""

    id: Ulid
    attempt_of: Ulid | None
    started_entry: Count


class Operator(TypedDict):
    """Who answers for the capture, and how far the name can be trusted (`asserted`: as given)."""

    name: Text
    os_user: Text
    host: Text
    method: Literal["asserted", "oidc", "ssh-key"]


class Override(TypedDict):
    """The named person who lifted robots.txt for one URL, and why."""

    reason: Text
    operator: Text


class FoundBy(TypedDict):
    """The path by which a spider found the URL."""

    spider: Text
    query: str
    rank: Count
    time: str


class Request(TypedDict):
    """What was asked, fixed and digested into `capture.started` before the first fetch."""

    url: Text
    requested_at: Utc
    operator: Operator
    override: Override | None
    options: dict[str, Any]
    found_by: FoundBy | None
    case: str
    note: str
    title: str
    salt: Hex32


class Robots(TypedDict):
    """What robots.txt said; `sha256` of its body, empty when none arrived."""

    decision: Slug
    url: str
    status: Count
    sha256: Sha256OrEmpty
    size: Count
    detail: str


class Policy(TypedDict):
    """What the capture was allowed to do."""

    robots: Robots | None
    allow_private: bool
    client_emulation: bool


class Redirect(TypedDict):
    """One hop on the way to the page."""

    url: str
    status: Count
    location: str


class Displayed(TypedDict):
    """A fact that the page displays, and where on the page it was read."""

    value: Any
    read_from: str


class Target(TypedDict):
    """The post: as asked, as arrived at, as displayed. Unknown text is empty, an unknown status null."""

    requested: Text
    redirects: list[Redirect]
    final: str
    status: Count | None
    canonical: str
    platform: str
    title: str
    displayed: dict[str, Displayed]


class ServerDate(TypedDict):
    """A server's Date header, and how far it was ahead of the local clock."""

    url: str
    date: str
    skew_ms: int


class Times(TypedDict):
    """From start to seal; `elapsed_us` by the monotonic clock, null after a restart."""

    started: Utc
    ended: Utc
    elapsed_us: Count | None
    server_dates: list[ServerDate]


class StepLog(TypedDict):
    """One step; `ended` is empty in the step that seals."""

    name: Slug
    started: Utc
    ended: Ended
    outcome: Slug
    detail: str


class Environment(TypedDict):
    """Software and machine; `config` is the effective settings, `config_sha256` of its canonical form."""

    akashi: Text
    python: Text
    packages: dict[str, str]
    lock_sha256: Sha256OrEmpty
    os: str
    kernel: str
    arch: str
    host: str
    boot_id: str
    config: dict[str, Any]
    config_sha256: Sha256


class Host(TypedDict):
    """DNS answers and peers (`ip:port`) of one host; TLS as `tls/1.3 TLS_AES_128_GCM_SHA256`."""

    dns: list[str]
    peers: list[str]
    tls: NotRequired[list[str]]
    chain_sha256: NotRequired[list[Sha256]]


class RefusedHost(TypedDict):
    """A connection that the one door refused."""

    host: str
    port: Count
    why: str


class NetworkFacts(TypedDict):
    """Hosts reached and refused; what a test or an operator overrode."""

    hosts: dict[str, Host]
    refused: list[RefusedHost]
    hosts_override: dict[str, str]
    extra_ca_sha256: Sha256OrEmpty


class FileFacts(TypedDict):
    """A file of the capture; `record` is the WARC record that holds it."""

    name: Text
    role: Slug
    type: str
    size: Count
    sha256: Sha256
    sha512: NotRequired[Sha512]
    record: RecordId | None
    layer: NotRequired[str]
    derived_from: NotRequired[list[str]]
    how: NotRequired[str]


class MediaFacts(TypedDict):
    """A media file; an *original* is byte-equal to its records' payloads in order.

    Its bytes lie in the WARC, whose SHA-512 stands in the ledger.
    """

    name: Text
    role: Literal["original", "assembled", "derivative"]
    type: str
    bytes: Count
    sha256: Sha256
    records: list[RecordId]
    how: str
    format_id: NotRequired[str]
    probe: NotRequired[dict[str, Any]]


class MissingFacts(TypedDict):
    """Something that happened and was not recorded."""

    client: str
    url: str
    why: str


class Completeness(TypedDict):
    """Exchanges by client, by layer and by state of the body, and what is missing."""

    exchanges: dict[str, Count]
    layers: dict[str, Count]
    bodies: dict[str, Count]
    missing: list[MissingFacts]


class ReasonFacts(TypedDict):
    """Why the capture is less than complete."""

    code: Code
    detail: str


class WarcFacts(DigestsJson):
    """The WARC object: its key, digests, size in bytes and number of records."""

    key: Key
    records: Count


class SealedManifest(TypedDict):
    """The manifest as it lies inside the WARC."""

    v: int
    capture: CaptureFacts
    request: Request
    policy: Policy
    target: Target
    times: Times
    steps: list[StepLog]
    clock: Clock
    environment: Environment
    network: NetworkFacts
    browser: dict[str, Any] | None
    video: dict[str, Any] | None
    files: list[FileFacts]
    media: list[MediaFacts]
    completeness: Completeness
    outcome: Literal["complete", "partial", "failed"]
    reasons: list[ReasonFacts]
    salt: Hex32


class ManifestDocument(SealedManifest):
    """The manifest as it lies in the store."""

    warc: WarcFacts
