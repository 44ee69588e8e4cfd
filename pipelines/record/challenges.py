"""Proofs of being human that sites ask for instead of showing themselves: recognised, recorded, never given."""

from __future__ import annotations

from typing import Final

_PAGE: Final = 1500
"""Characters of text that the notice of an interstitial page stays below."""
_WIDGET: Final = 500

CHALLENGES: Final = (
    (
        "Cloudflare",
        "#challenge-form, #challenge-error-text, script[src*='/cdn-cgi/challenge-platform/h/']",
        _PAGE,
    ),
    ("Turnstile", "iframe[src*='//challenges.cloudflare.com/'], .cf-turnstile", _WIDGET),
    ("hCaptcha", "iframe[src*='hcaptcha.com/'], .h-captcha", _WIDGET),
    (
        "reCAPTCHA",
        "iframe[src*='/recaptcha/'][src*='anchor'], .g-recaptcha:not([data-size=invisible])",
        _WIDGET,
    ),
    ("DataDome", "iframe[src*='captcha-delivery.com/']", _PAGE),
    ("HUMAN", "#px-captcha", _PAGE),
)
"""Who asks; what its question is made of; below how many characters of text the page is nothing but that.

A widget beside an article (a comment form's) is no wall, and an invisible one asks for nothing.
"""
