"""From a path to what answers it; a path may end in one `<name>` that matches the rest."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.site.messages import Request, Response, html
from tests.site.templating import render

Page = Callable[..., Response]


class Router:
    """Paths and their pages, the same on every host, as on a platform behind one edge."""

    def __init__(self) -> None:
        self._pages: list[tuple[re.Pattern[str], Page]] = []

    def page(self, path: str) -> Callable[[Page], Page]:
        """Registers the decorated function for `path`; `<name>` parts become its arguments."""
        pattern = re.compile(re.sub(r"<(\w+)>", r"(?P<\1>.+)", path.replace(".", r"\.")))

        def register(page: Page) -> Page:
            self._pages.append((pattern, page))
            return page

        return register

    def include(self, other: Router) -> None:
        """Takes over all pages of `other`."""
        self._pages += other._pages

    def answer(self, request: Request) -> Response:
        """The page's response, 304 when the client holds it already, 404 when there is none."""
        for pattern, page in self._pages:
            if match := pattern.fullmatch(request.path):
                try:
                    return _unless_known(request, page(request, **match.groupdict()))
                except FileNotFoundError:
                    break
        return html(render("notfound.html", {"path": request.path}), status=404)


def _unless_known(request: Request, response: Response) -> Response:
    tag = dict(response.headers).get("ETag")
    if tag and response.status == 200 and request.header("If-None-Match") == tag:
        return Response(b"", 304, [("ETag", tag)])
    return response
