"""A local web of real servers, over TLS, that logs the exact bytes it receives and sends.

Test code: the tests, `make demo` and the benchmarks run against it. See README.md beside this file.
"""

from tests.site.process import SiteProcess
from tests.site.served_log import ServedExchange, ServedLog
from tests.site.site import Site

__all__ = ["ServedExchange", "ServedLog", "Site", "SiteProcess"]
