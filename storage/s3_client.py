"""A boto3 client that does what Akashi's settings say, and what the errors that it raises mean.

The embedded store is reached at a loopback address with credentials of our own: no proxy, profile,
CA bundle or AWS_* variable of the machine may bend that path. A configured endpoint uses boto3's
normal chain, apart from retries, timeouts and checksums, which are ours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own name
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)

from evidence.errors import StoreUnavailableError, UsageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

S3_ERRORS: Final = (ClientError, BotoCoreError)
"""Everything that boto3 raises for a request."""

_TRY_AGAIN: Final = {408, 409, 429}
_NEXT: Final = {
    "NoSuchBucket": "create the bucket with Object Lock, or correct store_bucket",
    "AccessDenied": "give the credentials the right to read, write and lock objects in the bucket",
    "InvalidAccessKeyId": "correct AKASHI_STORE_ACCESS_KEY",
    "SignatureDoesNotMatch": "correct AKASHI_STORE_SECRET_KEY",
    "BadDigest": "the file changed while it was stored, or the disk is failing: check the disk",
}
_GENERAL: Final = (
    "run `akashi doctor`; what was captured waits in the spool and is finished by the next start"
)


@dataclass(frozen=True, slots=True)
class S3Endpoint:
    """Where a store is and how to sign for it; empty keys mean boto3's own chain of credentials."""

    url: str
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    region: str = "us-east-1"
    kind: str = "embedded"
    """`embedded` (ours, on loopback) or `configured`; recorded in `custody.store`."""


def make_client(endpoint: S3Endpoint, *, attempts: int = 3) -> S3Client:
    """A client for the endpoint, to share between threads; boto3 itself tries each request `attempts` times.

    Raises UsageError for a bad endpoint.
    """
    options: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": attempts},
        "connect_timeout": 5,
        "read_timeout": 30,
        "tcp_keepalive": True,
        "max_pool_connections": 16,
        # Each put names its own SHA-256; trailers that boto3 would add are refused by older stores.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "s3": {"addressing_style": "path"},
    }
    isolated = None
    if endpoint.kind == "embedded":
        # The named SHA-256 is signed with the headers; signing the body too would read it once more.
        options["s3"]["payload_signing_enabled"] = False
        options |= {"proxies": {}, "use_dualstack_endpoint": False, "use_fips_endpoint": False}
        isolated = _isolated_session()
    try:
        session = boto3.Session(
            endpoint.access_key or None,
            endpoint.secret_key or None,
            region_name=endpoint.region,
            botocore_session=isolated,
        )
        return session.client("s3", endpoint_url=endpoint.url, config=Config(**options))
    except (BotoCoreError, ValueError) as error:
        raise UsageError(
            f"no S3 client for {endpoint.url!r}: {error}", next="correct store_endpoint and AWS_*"
        ) from error


def _isolated_session() -> botocore.session.Session:
    """A botocore session that reads no AWS_* variable and no ~/.aws."""
    variables = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    for name in ("config_file", "credentials_file"):
        variables[name] = (None, None, os.devnull, None)
    return botocore.session.Session(session_vars=variables)


def status_of(error: BaseException) -> int:
    """The HTTP status of a ClientError, 0 for anything else."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(error, ClientError) else 0


def code_of(error: ClientError) -> str:
    """The S3 error code."""
    return error.response.get("Error", {}).get("Code", "")


def is_missing(error: ClientError) -> bool:
    """Whether the object, or this version of it, is not there (also when only a delete marker is)."""
    return code_of(error) in {"404", "NoSuchKey", "NoSuchVersion", "NotFound", "MethodNotAllowed"}


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later, or may have succeeded already."""
    if isinstance(error, ClientError):
        status = status_of(error)
        return status >= 500 or status in _TRY_AGAIN or code_of(error) == "RequestTimeout"  # noqa: PLR2004
    return isinstance(error, ConnectionError | HTTPClientError) and not isinstance(error, SSLError)


def unavailable(doing: str, where: str, error: BaseException) -> StoreUnavailableError:
    """One line on what could not be done, where, and why, with the next step."""
    why, next_step = str(error), _GENERAL
    if isinstance(error, ClientError):
        code = code_of(error)
        why, next_step = f"{code} (HTTP {status_of(error)})", _NEXT.get(code, _GENERAL)
    elif isinstance(error, NoCredentialsError | PartialCredentialsError):
        next_step = "set AKASHI_STORE_ACCESS_KEY and AKASHI_STORE_SECRET_KEY"
    elif isinstance(error, SSLError):
        next_step = "correct the endpoint's certificate, or name its CA in AWS_CA_BUNDLE"
    return StoreUnavailableError(f"the store at {where} cannot {doing}: {why}", next=next_step)
