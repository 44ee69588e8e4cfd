"""Scrapy's settings for this project; each is Scrapy's own unless it begins with AKASHI_.

AKASHI_ALLOW_PRIVATE, AKASHI_CASE, AKASHI_NOTE, AKASHI_OPERATOR, AKASHI_NO_VIDEO, AKASHI_MAX_BYTES,
AKASHI_TIMEOUT, AKASHI_LIMIT and AKASHI_OVERRIDE_ROBOTS are the options of `akashi capture`
(docs/cli.md); give them with `-s NAME=VALUE`.
"""

from importlib.metadata import version

from storage.settings import Settings

_settings = Settings.load()

BOT_NAME = "akashi"
SPIDER_MODULES = ["crawler.spiders"]
NEWSPIDER_MODULE = "crawler.spiders"

# ── captures ──────────────────────────────────────────────────────────────────────────────────
# admit runs at 100; the others stand in pipelines/steps.py with the same numbers (a test compares).
ITEM_PIPELINES = {
    "pipelines.items.AdmitPipeline": 100,
    "pipelines.items.PagePipeline": 200,
    "pipelines.items.VideoPipeline": 300,
    "pipelines.items.InspectPipeline": 400,
    "pipelines.items.PreservePipeline": 500,
    "pipelines.items.ProvePipeline": 600,
}
AKASHI_CONCURRENT_CAPTURES = 2
AKASHI_ROBOTS_FETCHER = "crawler.robots.fetcher"
EXTENSIONS = {
    "crawler.extensions.EvidenceRequired": 0,
    "crawler.extensions.Interrupts": 10,
    "crawler.extensions.OutsideWord": 20,
}

# ── politeness: one request in five seconds to a host, robots.txt obeyed, and we say who we are ─
ROBOTSTXT_OBEY = True
ROBOTSTXT_USER_AGENT = "Akashi"
USER_AGENT = f"Akashi/{version('akashi')}" + (f" (+{_settings.contact})" if _settings.contact else "")
DOWNLOAD_DELAY = 5
CONCURRENT_REQUESTS_PER_DOMAIN = 1
AUTOTHROTTLE_ENABLED = True
AUTOTHROTTLE_START_DELAY = 0
COOKIES_ENABLED = False
RETRY_TIMES = 2
DOWNLOAD_TIMEOUT = 60
DOWNLOAD_MAXSIZE = 32 * 1024 * 1024

# ── the one door out (crawler/door.py): no other scheme, no proxy, no console that listens ────
TWISTED_DNS_RESOLVER = "crawler.door.GuardedResolver"
DOWNLOAD_HANDLERS = {
    "http": "crawler.door.GuardedHandler",
    "https": "crawler.door.GuardedHandler",
    "file": None,
    "ftp": None,
    "s3": None,
}
DOWNLOAD_VERIFY_CERTIFICATES = True
HTTPPROXY_ENABLED = False
TELNETCONSOLE_ENABLED = False
REMOTE_CONTROL_ENABLED = False

FEED_EXPORT_ENCODING = "utf-8"
LOG_LEVEL = "INFO"
