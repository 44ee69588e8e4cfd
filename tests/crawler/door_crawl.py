"""A crawl of the given URLs through the door, in a process of its own; one JSON line to each URL.

Each line tells what the client made of it, and in `exchanges` what the tap recorded.

stdin: {"urls": […], "settings": {…}, "fake": "" | "127.0.0.2 is private" | "resolver lies"}
"""

import json
import sys

import scrapy
from scrapy.crawler import AsyncCrawlerProcess

from crawler import settings as project
from crawler.door import KEPT
from storage import resolver

JOB = json.load(sys.stdin)

if JOB["fake"] == "127.0.0.2 is private":  # a fake rule, under which 127.0.0.1 is a public site
    resolver.refusal_of = lambda ip: f"{ip} is private" if ip == "127.0.0.2" else None
if JOB["fake"] == "resolver lies":  # a fake resolver, which lets everything through
    resolver.Resolver.resolve = lambda self, host: ("127.0.0.1",)


class Door(scrapy.Spider):
    name = "door"

    async def start(self):
        for url in JOB["urls"]:
            yield scrapy.Request(
                url,
                self.parse,
                errback=self.failed,
                dont_filter=True,
                meta={"asked": url, "proxy": JOB.get("proxy"), KEPT: []},
            )

    def parse(self, response: scrapy.http.Response) -> None:
        tell(response.meta, status=response.status, ip=str(response.ip_address), body=response.text)

    def failed(self, failure) -> None:
        names = [kind.__name__ for kind in type(failure.value).__mro__]
        tell(failure.request.meta, error=names, detail=str(failure.value))


def tell(meta: dict, **facts: object) -> None:
    facts["exchanges"] = [plain(exchange) for exchange in meta[KEPT]]
    print(json.dumps({"url": meta["asked"], **facts}), flush=True)  # noqa: T201


def plain(exchange) -> dict[str, object]:
    facts = {name: getattr(exchange, name) for name in ("client", "method", "url", "error", "layer")}
    facts |= {name: getattr(exchange, name).decode("latin-1") for name in ("request_head", "response_head")}
    facts |= {"interim": b"".join(exchange.interim).decode("latin-1")}
    body, sent, network = exchange.response_body, exchange.request_body, exchange.network
    facts |= {"body": body.data.decode("latin-1"), "state": body.state, "why": body.why}
    facts |= {"sent": sent.data.decode("latin-1") if sent else ""}
    return facts | {
        "ip": network.ip,
        "tls": network.tls,
        "cipher": network.cipher,
        "chain": len(network.chain),
    }


DOOR = (
    *("TWISTED_DNS_RESOLVER", "DOWNLOAD_HANDLERS", "DOWNLOAD_VERIFY_CERTIFICATES"),
    *("HTTPPROXY_ENABLED", "TELNETCONSOLE_ENABLED"),
)
"""The project's own settings of the door; the rest of them is not this test's."""
process = AsyncCrawlerProcess(
    {
        **{name: getattr(project, name) for name in DOOR},
        "LOG_LEVEL": "WARNING",
        "RETRY_TIMES": 0,
        "ROBOTSTXT_OBEY": False,
        **JOB["settings"],
    }
)
process.crawl(Door)
process.start()
