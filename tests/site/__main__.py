"""`python -m tests.site [--port N] [--control-port N]`: serve until a signal, or the end of the input.

Prints one JSON line when it is ready: {"port", "control", "environment", "listing", "friendly", …}.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys

from tests.site.control import Control
from tests.site.site import Site


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.site", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TLS port (0: a free one)")
    parser.add_argument("--control-port", type=int, default=0, help="port of the log (0: a free one)")
    parser.add_argument("--until-eof", action="store_true", help="stop when the input ends")
    options = parser.parse_args()
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # before any thread, so that none of them takes it
    with Site(options.port) as site:
        control = Control(site.log, options.control_port)
        control.start()
        facts = {
            "port": site.port,
            "control": control.url,
            "environment": site.environment(),
            "listing": site.url("/listing"),
            "feed": site.url("/feed.xml"),
            "friendly": site.url("/friendly/listing"),
        }
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        if options.until_eof:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)
            sys.stdin.read()
        else:
            signal.sigwait(stop)
        control.stop()


if __name__ == "__main__":
    main()
