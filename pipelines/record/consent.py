"""Consent dialogs: a closed list of rules, by which one button is pressed once (docs/page-behaviour.md).

A rule finds a dialog by its container. Of the dialog's buttons the one that refuses is pressed; where
there is none, the one that closes; the one that accepts only when the dialog keeps the page from
being seen. What asks for an age, a login or money, and what leads elsewhere, is left alone.
`scripts/consent.js` carries the rules out; `A >>> B` is B inside the shadow root of A.
"""

from __future__ import annotations

from typing import Any, Final

_ABOUT: Final = r"cookie|クッキー|\bconsent|GDPR|同意|プライバシー|privacy"

RULES: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "onetrust",
        "container": "#onetrust-banner-sdk",
        "reject": "#onetrust-reject-all-handler",
        "close": ".onetrust-close-btn-handler",
        "accept": "#onetrust-accept-btn-handler",
    },
    {
        "name": "cookiebot",
        "container": "#CybotCookiebotDialog",
        "reject": "#CybotCookiebotDialogBodyButtonDecline",
        "accept": "#CybotCookiebotDialogBodyLevelButtonLevelOptinAllowAll, #CybotCookiebotDialogBodyButtonAccept",
    },
    {
        "name": "didomi",
        "container": "#didomi-popup, #didomi-notice",
        "reject": "#didomi-notice-disagree-button, .didomi-continue-without-agreeing",
        "accept": "#didomi-notice-agree-button",
    },
    {
        "name": "usercentrics",
        "container": "#usercentrics-root, #usercentrics-cmp-ui >>> [data-testid=uc-container], #uc-main-dialog",
        "reject": "[data-testid=uc-deny-all-button], #deny",
        "accept": "[data-testid=uc-accept-all-button], #accept",
    },
    {"name": "quantcast", "container": "#qc-cmp2-ui", "close": ".qc-cmp2-close-icon"},
    {
        "name": "google",
        "container": "ytd-consent-bump-v2-lightbox, body:has(form[action*='//consent.youtube.com/save']),"
        " body:has(form[action*='//consent.google.'])",
        "leads": True,  # its answer is a form, which leads to the page that was asked for
    },
    {
        "name": "wording",
        "container": "dialog[open], [role=dialog], [role=alertdialog], [aria-modal=true], "
        ":is([id*=cookie i], [class*=cookie i], [id*=consent i], [class*=consent i], [id*=gdpr i]):not(html, body)",
        "about": _ABOUT,
    },
)
"""In the order in which they are tried. `close`, `reject`, `accept`: selectors that go before the wording."""

WORDS: Final = {
    "reject": r"^(reject|decline|deny|refuse|disagree|i (do not|don't) (accept|agree|consent))"
    r"( (all|optional|non-essential|additional|all cookies|cookies|optional cookies|non-essential cookies))?$"
    r"|^((use |accept |allow )?(only )?(strictly )?(necessary|essential|required)( cookies)?( only)?)$"
    r"|^continue without (accepting|agreeing|consent)$"
    r"|^(すべて|全て)?(の?(クッキー|cookie)を)?(拒否|拒否する|拒否します|同意しない|許可しない)$"
    r"|^(必須|必要|必要最低限|必要最小限)(な|の)?(クッキー|cookie)?(のみ|だけ)(を?(許可|使用|同意)(する)?)?$",
    "close": r"^(close|dismiss|no,? thanks|not now|[\u00d7\u2715\u2716]|閉じる|今はしない|後で)$",
    "accept": r"^(i )?(accept|agree|allow|consent|ok|okay|got it|understood|i understand)( (to )?(all|all cookies|cookies))?$"
    r"|^(すべて|全て)?(の?(クッキー|cookie)を)?(同意|同意する|同意します|許可|許可する|承諾する|承認する|了解|了承する|受け入れる|OK)$",
    "never": r"\b(over|at least) (the age of )?(18|20|21)\b|\b(18|20|21)\+|years (old|of age)|verify your age"
    r"|年齢|\d歳以上|成人向け",
}
"""Regular expressions over a button's whole wording; `never` over the dialog's: it is left alone."""
