"""The simulators' host behind a real socket, for tests: ``with running(folder, "nhsa") as base: …``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server

from interfaces.hub import simulating


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """A WSGI application on a free loopback port; yields its address."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def running(folder: Path, *names: str) -> Iterator[str]:
    """The named simulators (all, when none is named) with their control page; yields the host's address."""
    with serving(simulating.host(folder, names)) as base:
        yield base
