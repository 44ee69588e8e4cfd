"""Dialogs that ask for consent, in the shapes that the known tools give them; each page says what was answered."""

from __future__ import annotations

from typing import Final

from tests.site.messages import Request, Response, html, redirect
from tests.site.pages import post_page
from tests.site.posts import BY_PATH
from tests.site.router import Router

router = Router()

_STYLE: Final = """<style>
.cmp, .veil2 { position: fixed; left: 0; right: 0; bottom: 0; padding: 26px 34px; background: #fff; color: #222; z-index: 9; }
.veil2 { top: 0; background: #000b; display: grid; place-items: center; }
.veil2 > div { max-width: 620px; padding: 18px 28px; background: #fff; border-radius: 14px; }
.cmp button, .veil2 button { font: inherit; padding: 6px 18px; margin-right: 8px; }
</style><p id="answer">answer: none</p><script>
function answer(what) {
  document.getElementById('answer').textContent = 'answer: ' + what;
  document.querySelectorAll('.cmp, .veil2').forEach(e => e.remove());
}
</script>"""

_EN: Final = (
    "<h2>We value your privacy</h2><p>We and our 812 partners use cookies to measure and to advertise.</p>"
)
_JA: Final = "<h2>クッキーの使用について</h2><p>当サイトは、表示の改善と広告のためにクッキーを使います。</p>"


def _button(what: str, text: str, attributes: str = "") -> str:
    return f"""<button onclick="answer('{what}')" {attributes}>{text}</button>"""


_SHAPES: Final = {
    "onetrust": f'<div id="onetrust-consent-sdk"><div id="onetrust-banner-sdk" class="cmp" role="region">{_EN}'
    + _button("accept", "Accept All Cookies", 'id="onetrust-accept-btn-handler"')
    + _button("reject", "Reject All", 'id="onetrust-reject-all-handler"')
    + "</div></div>",
    "cookiebot": f'<div id="CybotCookiebotDialog" class="veil2" role="dialog"><div>{_EN}'
    + _button("reject", "Deny", 'id="CybotCookiebotDialogBodyButtonDecline"')
    + _button("accept", "Allow all", 'id="CybotCookiebotDialogBodyLevelButtonLevelOptinAllowAll"')
    + "</div></div>",
    "didomi": f'<div id="didomi-host"><div id="didomi-popup" class="veil2" role="dialog"><div>{_EN}'
    '<span class="didomi-continue-without-agreeing" role="button" onclick="answer(\'reject\')">'
    "Continue without agreeing →</span> "
    + _button("accept", "Agree and close", 'id="didomi-notice-agree-button"')
    + "</div></div></div>",
    "usercentrics": '<div id="usercentrics-root" class="veil2"></div><script>'
    "document.getElementById('usercentrics-root').attachShadow({mode: 'open'}).innerHTML = "
    f"""`<div data-testid="uc-container" style="background:#fff;padding:20px">{_EN}"""
    """<button data-testid="uc-accept-all-button">Accept All</button>"""
    """<button data-testid="uc-deny-all-button">Deny</button></div>`;"""
    "for (const b of document.getElementById('usercentrics-root').shadowRoot.querySelectorAll('button'))"
    " b.onclick = () => answer(b.dataset.testid === 'uc-deny-all-button' ? 'reject' : 'accept');</script>",
    "quantcast": f'<div id="qc-cmp2-container"><div id="qc-cmp2-ui" class="veil2" role="dialog"><div>{_EN}'
    + _button("settings", "MORE OPTIONS", 'mode="secondary"')
    + _button("reject", "DISAGREE", 'mode="secondary"')
    + _button("accept", "AGREE", 'mode="primary"')
    + "</div></div></div>",
    "english": f'<div class="veil2" role="dialog" aria-modal="true"><div>{_EN}'
    + _button("accept", "Accept all")
    + _button("settings", "Manage choices")
    + _button("reject", "Only necessary")
    + "</div></div>",
    "japanese": f'<div class="veil2" role="dialog" aria-modal="true"><div>{_JA}'
    + _button("accept", "すべて許可する")
    + _button("settings", "設定")
    + _button("reject", "すべて拒否する")
    + "</div></div>",
    "close": f'<div class="cmp cookie-notice">{_JA}{_button("accept", "同意する")}{_button("close", "閉じる")}</div>',
    "wall": f'<div class="veil2" id="cookie-wall"><div>{_JA}{_button("accept", "同意する")}</div></div>',
    "banner": f'<div class="cmp cookie-notice">{_EN}{_button("accept", "OK")}</div>',
    "stubborn": f'<div class="veil2" role="dialog"><div>{_EN}<button>Reject all</button></div></div>',
    "age": '<div class="veil2" role="dialog"><div><h2>年齢確認 / Age check</h2><p>This site uses cookies. Are you over 18?</p>'
    + _button("accept", "同意する")
    + "</div></div>",
    "login": f'<div class="veil2" role="dialog"><div>{_EN}<input type="password">{_button("accept", "OK")}</div></div>',
    "elsewhere": f'<div class="veil2" role="dialog"><div>{_EN}<a href="/about">Reject all</a></div></div>',
    "away": f"""<div class="veil2" role="dialog"><div>{_EN}<button onclick="location.href='/about'">"""
    "Reject all</button></div></div>",
    "window": f"""<div class="veil2" role="dialog"><div>{_EN}<button onclick="window.open('/about?window=1');answer('reject')">"""
    "Reject all</button></div></div>",
    "article": '<section class="consent-story"><h2>Cookies</h2><p>A story about cookies and consent.</p>'
    + _button("accept", "OK")
    + "</section>",
}


@router.page("/consent/<shape>")
def consent(request: Request, shape: str) -> Response:
    """A post under the dialog of this shape."""
    if shape not in _SHAPES:
        raise FileNotFoundError(shape)
    lang = "ja" if shape in {"japanese", "close", "wall"} else "en"
    page = post_page(request, BY_PATH["/post/2"], extra=_STYLE + _SHAPES[shape])
    return html(page.replace('lang="ja"', f'lang="{lang}"', 1))


@router.page("/consent-first")
def consent_first(request: Request) -> Response:
    """A post that is shown after a page of its own has been answered, as YouTube's is."""
    if "consent=" in request.header("Cookie"):
        return html(post_page(request, BY_PATH["/post/2"]))
    return redirect("/consent-first/ask")


@router.page("/consent-first/ask")
def consent_ask(request: Request) -> Response:
    """The page that asks."""
    forms = "".join(
        f'<form action="/consent-first/save?to=//consent.youtube.com/save" method="post"><button>{text}</button></form>'
        for text in ("すべて拒否", "すべて同意")
    )
    return html(f"<!doctype html><html lang=ja><title>続行する前に</title><body>{_JA}{forms}</body></html>")


@router.page("/consent-first/save")
def consent_save(request: Request) -> Response:
    """Takes the answer and leads to the post."""
    response = redirect("/consent-first", 303)
    response.headers.append(("Set-Cookie", "consent=1; Path=/; Secure"))
    return response
