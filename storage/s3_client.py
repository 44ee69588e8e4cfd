"""A boto3 client that does what Akashi's settings say, and nothing that the machine's environment adds.

The embedded store is reached at a loopback address with credentials of our own: no proxy, profile,
CA bundle or AWS_* variable of the machine may bend that path. A configured endpoint uses boto3's
normal chain, apart from retries, timeouts and checksums, which are ours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import BotoCoreError

from evidence.errors import UsageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ATTEMPTS: Final = 3
"""boto3's own tries for one request; the loop around them is ours, because boto3's retry quota ends."""


@dataclass(frozen=True, slots=True)
class S3Endpoint:
    """Where a store is and how to sign for it; empty keys mean boto3's own chain of credentials."""

    url: str
    access_key: str = ""
    secret_key: str = ""
    region: str = "us-east-1"
    kind: str = "embedded"
    """`embedded` (ours, on loopback) or `configured`; recorded in `custody.store`."""

    def __repr__(self) -> str:
        """Without the keys: an endpoint may end up in a log."""
        return f"S3Endpoint({self.url!r}, kind={self.kind!r})"


def make_client(endpoint: S3Endpoint, *, attempts: int = ATTEMPTS) -> S3Client:
    """A client for the endpoint, to share between threads. Raises UsageError for a bad endpoint."""
    embedded = endpoint.kind == "embedded"
    named: dict[str, Any] = {}
    if endpoint.access_key:
        named = {"aws_access_key_id": endpoint.access_key, "aws_secret_access_key": endpoint.secret_key}
    try:
        session = boto3.Session(
            botocore_session=_isolated_session() if embedded else None,
            region_name=endpoint.region,
            **named,
        )
        return session.client(
            "s3", endpoint_url=endpoint.url or None, config=_config(attempts, embedded=embedded)
        )
    except (BotoCoreError, ValueError) as error:
        raise UsageError(
            f"no S3 client for {endpoint.url!r}: {error}", next="correct store_endpoint and AWS_*"
        ) from error


def _config(attempts: int, *, embedded: bool) -> Config:
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
    if embedded:
        # The named SHA-256 is signed with the headers; signing the body too would read it once more.
        options["s3"]["payload_signing_enabled"] = False
        options |= {"proxies": {}, "use_dualstack_endpoint": False, "use_fips_endpoint": False}
    return Config(**options)


def _isolated_session() -> botocore.session.Session:
    """A botocore session that reads no AWS_* variable and no ~/.aws."""
    variables = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    for name in ("config_file", "credentials_file"):
        variables[name] = (None, None, os.devnull, None)
    return botocore.session.Session(session_vars=variables)
