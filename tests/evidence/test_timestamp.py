"""Timestamp tokens: real ones pass, and each defect is refused by the rule that names it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rfc3161_client import HashAlgorithm

from evidence.anchors import read_token
from evidence.der import elements, ordered
from evidence.errors import TimestampError
from evidence.timestamp import request_for, verify
from tests.site.timestamping import TimestampAuthority

NOTE = b"akashi.invalid/5f2c61d0\n7\nr5pNsIvDq4wBWlmGPL\n\n\xe2\x80\x94 akashi.invalid/5f2c61d0 AAAA\n"
Tamper = Callable[[bytes], bytes]


def roots(*authorities: TimestampAuthority) -> list[x509.Certificate]:
    return [authority.root.certificate for authority in authorities]


@pytest.fixture(scope="module")
def request_() -> bytes:
    return request_for(NOTE)


@pytest.fixture(scope="module")
def response(alpha: TimestampAuthority, request_: bytes) -> bytes:
    return alpha.reply(request_)


def refused(
    response: bytes, request: bytes, trusted: list[x509.Certificate], data: bytes = NOTE, **named
) -> str:
    with pytest.raises(TimestampError) as caught:
        verify(response, request, data, trusted, **named)
    return caught.value.rule


@pytest.mark.parametrize("algorithm", [HashAlgorithm.SHA256, HashAlgorithm.SHA512], ids=lambda one: one.value)
@pytest.mark.parametrize("signer", ["tsa", "ec"])
def test_a_token_says_when_and_by_whom(alpha, algorithm, signer):
    request = request_for(NOTE, algorithm)
    before = datetime.now(UTC).replace(microsecond=0)
    found = verify(alpha.reply(request, signer), request, NOTE, roots(alpha))
    assert before <= found.time <= datetime.now(UTC)
    assert (found.imprint, found.accuracy) == (algorithm.value.lower(), timedelta(seconds=1))
    assert (found.authority, found.policy) == ("CN=Alpha Timestamping Unit", "1.3.6.1.4.1.32473.1")
    assert found.certificate == alpha.signers[signer].certificate
    assert found.not_after == found.certificate.not_valid_after_utc
    assert len(found.certificate_sha256) == 64
    assert set(found.chain) == {found.certificate, alpha.intermediate.certificate}


def test_every_request_has_a_nonce_of_its_own():
    assert request_for(NOTE) != request_for(NOTE)
    assert len(request_for(NOTE)) in range(66, 72)


def test_a_token_over_other_bytes(alpha, response, request_):
    assert refused(response, request_, roots(alpha), data=NOTE.replace(b"7", b"8")) == "imprint"


def test_a_token_for_another_request(alpha, response):
    assert refused(response, request_for(NOTE), roots(alpha)) == "nonce"


def test_an_authority_that_refuses_and_one_that_answers_nonsense(alpha, request_):
    assert refused(alpha.answer("/refuse", request_)[1], request_, roots(alpha)) == "status"
    assert refused(b"<html>", request_, roots(alpha)) == "decode"
    assert refused(b"\x30\x03\x02\x01", request_, roots(alpha)) == "decode"
    assert refused(bytes(70_000), request_, roots(alpha)) == "decode"


def test_a_response_that_grants_and_holds_no_token(alpha, request_):
    assert refused(bytes.fromhex("30053003020100"), request_, roots(alpha)) == "decode"


def test_another_operators_root(alpha, beta, response, request_):
    assert refused(response, request_, roots(beta)) == "chain"
    assert verify(response, request_, NOTE, roots(beta, alpha))


def test_the_intermediate_alone_is_no_root(alpha, response, request_):
    assert refused(response, request_, [alpha.intermediate.certificate]) == "chain"


def test_a_signature_that_is_not_the_signers(alpha, response, request_):
    forged = bytearray(response)
    forged[-5] ^= 1  # the signature is the last thing in it
    assert refused(bytes(forged), request_, roots(alpha)) == "signature"


def test_a_time_that_was_changed_after_it_was_signed(alpha, response, request_):
    at = response.index(b"\x18\x0f") + 2  # GeneralizedTime, 15 characters
    time = response[at : at + 15]
    assert refused(response.replace(time, b"2020" + time[4:]), request_, roots(alpha)) in {
        "certificate-time",
        "signature",
    }
    earlier = f"{datetime.now(UTC) - timedelta(hours=1):%Y%m%d%H%M%SZ}"
    assert refused(response.replace(time, earlier.encode()), request_, roots(alpha)) == "signature"


def test_a_certificate_that_had_expired_when_it_signed(alpha, request_):
    assert refused(alpha.reply(request_, "expired"), request_, roots(alpha)) == "certificate-time"


def test_a_token_outlives_its_certificate(alpha, response, request_):
    later = datetime.now(UTC) + timedelta(days=20 * 365)
    assert verify(response, request_, NOTE, roots(alpha), now=later)


def test_a_certificate_that_is_for_something_else(alpha, response, request_):
    assert refused(alpha.misused(response), request_, roots(alpha)) == "certificate-use"


def test_a_certificate_put_in_the_place_of_the_one_that_signed(alpha, response, request_):
    """Of the same key and by the same authority, as after a renewal: the signature covers which of them it was."""
    der = serialization.Encoding.DER
    own, twin = (one.public_bytes(der) for one in (alpha.signers["tsa"].certificate, alpha.twin()))
    assert refused(response.replace(own, twin), request_, roots(alpha)) == "signer"


def test_a_time_that_is_yet_to_come(alpha, response, request_):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert refused(response, request_, roots(alpha), now=yesterday) == "future"


def test_a_token_without_its_signers_certificate(alpha, response, request_):
    other = response.replace(
        alpha.signers["tsa"].certificate.serial_number.to_bytes(20, "big"), bytes([1] * 20), 1
    )
    assert refused(other, request_, roots(alpha)) in {"signer", "decode"}


def test_certificates_out_of_order_have_a_rule_of_their_own_and_are_read_in_order(alpha, request_):
    response = alpha.reply(request_, "unordered")
    assert refused(response, request_, roots(alpha)) == "der-order"
    assert len(ordered(response)) == len(response)
    found = read_token(response, request_, NOTE, roots(alpha))
    assert found.reordered
    assert found.certificate == alpha.signers["unordered"].certificate
    forged = bytearray(response)
    forged[-5] ^= 1
    with pytest.raises(TimestampError) as caught:
        read_token(bytes(forged), request_, NOTE, roots(alpha))
    assert caught.value.rule == "signature"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_damage_to_a_response_raises_anything_but_a_named_rule(alpha, response, request_, data):
    at = data.draw(st.integers(0, len(response) - 1))
    damaged = bytearray(response)
    damaged[at] ^= data.draw(st.integers(1, 255))
    cut = bytes(damaged[: data.draw(st.sampled_from([len(response), at]))])
    with suppress(TimestampError):
        # What is not signed may change: the status' text, an unsigned attribute.
        assert verify(cut, request_, NOTE, roots(alpha)).certificate == alpha.signers["tsa"].certificate


@given(data=st.binary(max_size=60))
def test_der_is_taken_apart_without_loss_or_refused(data):
    with suppress(TimestampError):
        assert b"".join(part.raw for part in elements(data)) == data
