"""Timestamp authorities over HTTP (RFC 3161 §3.4), the roots that they must reach, and openssl's second opinion."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeAlias

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from evidence.errors import AkashiError, TimestampError, UnreachableError, UsageError
from evidence.timestamp import MAX_RESPONSE, REQUEST_TYPE, Timestamp
from storage.http import post
from storage.settings import Settings

OPENSSL_SECONDS: Final = 10.0

Roots: TypeAlias = tuple[x509.Certificate, ...]


def load_roots(settings: Settings) -> Roots:
    """The roots of `timestamp_roots`, else certifi's. Raises UsageError for a file that holds none."""
    roots: list[x509.Certificate] = []
    for name in settings.timestamp_roots or [certifi.where()]:
        try:
            with warnings.catch_warnings():  # some of certifi's have the serial number 0
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                roots += x509.load_pem_x509_certificates(Path(name).read_bytes())
        except (OSError, ValueError) as error:
            what = f"timestamp_roots: {name} is not a file of PEM certificates ({error})"
            raise UsageError(what, next="correct timestamp_roots") from error
    return tuple(dict.fromkeys(roots))


def ask(
    requests: Mapping[str, bytes], seconds: float, *, allow_private: bool
) -> dict[str, bytes | AkashiError]:
    """Each authority's response to its request, or why there is none; all at once, within these seconds."""

    def one(url: str) -> bytes | AkashiError:
        try:
            status, body = post(
                url,
                requests[url],
                content_type=REQUEST_TYPE,
                timeout=seconds,
                limit=MAX_RESPONSE,
                allow_private=allow_private,
            )
        except AkashiError as error:
            return error
        return (
            body if status == HTTPStatus.OK else UnreachableError(f"{url}: HTTP status {status}", next=_LATER)
        )

    with ThreadPoolExecutor(max(1, len(requests))) as pool:
        return dict(zip(requests, pool.map(one, requests), strict=True))


_LATER: Final = "it is tried again with the next run, or by akashi ledger timestamp"


def issuer_of(certificate: x509.Certificate, among: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """The certificate that issued this one, None if it is not there."""
    for candidate in among:
        try:
            if candidate == certificate:
                continue
            certificate.verify_directly_issued_by(candidate)
        except (ValueError, TypeError, InvalidSignature):  # another's name, another's key, a malformed one
            continue
        return candidate
    return None


def revocation(
    timestamp: Timestamp, roots: Roots, seconds: float, *, allow_private: bool
) -> tuple[bytes, str]:
    """What the OCSP responder (RFC 6960) of the authority's certificate says now: raw, and in a word.

    It is kept for whoever judges the token later, and not judged here. Raises UnreachableError when
    there is no answer, or nothing to ask.
    """
    certificate = timestamp.certificate
    issuer = issuer_of(certificate, (*timestamp.chain, *roots))
    url = _responder(certificate)
    if seconds <= 0:
        raise UnreachableError("no time was left to ask")
    if issuer is None or not url:
        raise UnreachableError("its certificate names no OCSP responder, or its issuer is not known")
    # RFC 5019 §2.1.1: SHA-1 names the certificate, it secures nothing; many responders know no other.
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, SHA1())  # noqa: S303
    try:
        status, body = post(
            url,
            builder.build().public_bytes(Encoding.DER),
            content_type="application/ocsp-request",
            timeout=seconds,
            limit=MAX_RESPONSE,
            allow_private=allow_private,
        )
    except UsageError as error:  # the certificate names what nobody can ask, e.g. ldap:
        raise UnreachableError(error.detail) from error
    try:
        answer = ocsp.load_der_ocsp_response(body)
        word = answer.certificate_status.name.lower()
    except ValueError as error:
        raise UnreachableError(f"{url}: no OCSP response (HTTP status {status}): {error}") from error
    return body, word


def _responder(certificate: x509.Certificate) -> str:
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    named = [one.access_location for one in access if one.access_method == AuthorityInformationAccessOID.OCSP]
    return next((str(one.value) for one in named if isinstance(one, x509.UniformResourceIdentifier)), "")


def second_opinion(response: bytes, data: bytes, timestamp: Timestamp, roots: Roots) -> str:
    """Let `openssl ts -verify` judge the response as it came, at its own time; its words, to be kept.

    Raises TimestampError (`second-opinion`) when it says no, or is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="akashi-") as folder:
        for name, content in {
            "response.tsr": response,
            "checkpoint": data,
            "roots.pem": b"".join(root.public_bytes(Encoding.PEM) for root in roots),
        }.items():
            (Path(folder) / name).write_bytes(content)
        command = ["openssl", "ts", "-verify", "-in", "response.tsr", "-data", "checkpoint"]
        command += ["-CAfile", "roots.pem", "-attime", str(int(timestamp.time.timestamp()) + 1)]
        try:
            version = _run(["openssl", "version"], folder)[1]
            code, said = _run(command, folder)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TimestampError(
                f"openssl ts: {error}", rule="second-opinion", next="install openssl"
            ) from error
    if code != 0:
        raise TimestampError(f"openssl ts -verify: {said}", rule="second-opinion")
    return f"{version}\n$ {' '.join(command)}\n{said}\n"


def _run(command: Sequence[str], folder: str) -> tuple[int, str]:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=OPENSSL_SECONDS, check=False
    )
    return done.returncode, " ".join((done.stdout + " " + done.stderr).split())
