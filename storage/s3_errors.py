"""What an S3 error means: there is nothing there, try again, or stop with one clear line."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own name
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)

from evidence.errors import StoreUnavailableError

S3_ERRORS: Final = (ClientError, BotoCoreError)
"""Everything that boto3 raises for a request."""

_TRY_AGAIN: Final = {408, 409, 429}
_LATER_CODES: Final = {"RequestTimeout", "SlowDown", "Throttling", "ConditionalRequestConflict"}
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


def status_of(error: BaseException) -> int:
    """The HTTP status of a ClientError, 0 for anything else."""
    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return 0


def code_of(error: BaseException) -> str:
    """The S3 error code of a ClientError, else the exception's name."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


def is_missing(error: BaseException) -> bool:
    """Whether the object, or this version of it, is not there (also when only a delete marker is)."""
    return code_of(error) in {"404", "NoSuchKey", "NoSuchVersion", "NotFound"} or (
        status_of(error) == 405 and "MethodNotAllowed" in code_of(error)  # noqa: PLR2004 - a delete marker
    )


def is_conflict(error: BaseException) -> bool:
    """Whether a create-only put found the key taken."""
    return status_of(error) == 412  # noqa: PLR2004 - Precondition Failed


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later, or may have succeeded already."""
    if isinstance(error, ClientError):
        status = status_of(error)
        return status >= 500 or status in _TRY_AGAIN or code_of(error) in _LATER_CODES  # noqa: PLR2004
    if isinstance(error, SSLError):
        return False
    return isinstance(error, ConnectionError | HTTPClientError)


def unavailable(doing: str, where: str, error: BaseException) -> StoreUnavailableError:
    """One line on what could not be done, where, and why, with the next step."""
    code = code_of(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        next_step = "set AKASHI_STORE_ACCESS_KEY and AKASHI_STORE_SECRET_KEY"
    elif isinstance(error, SSLError):
        next_step = "correct the endpoint's certificate, or name its CA in AWS_CA_BUNDLE"
    else:
        next_step = _NEXT.get(code, _GENERAL)
    why = f"{code} (HTTP {status_of(error)})" if isinstance(error, ClientError) else str(error)
    return StoreUnavailableError(f"the store at {where} cannot {doing}: {why}", next=next_step)
