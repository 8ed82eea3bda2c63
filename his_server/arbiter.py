"""gunicorn's master process, whose successor is tried on a socket of its own before it takes the shared one.

A program that isn't ready answers nobody but the hand-over that asks it (:func:`his_server.running.hand_over`).

Implements: A2.
"""

from __future__ import annotations

import os
from typing import Any

from gunicorn import arbiter, sock

from his_server import running


class TrialSocket(sock.UnixSocket):  # type: ignore[misc]
    """Without a file, so nothing is left behind; it has a name that WSGI can carry."""

    def getsockname(self) -> str:
        return "trial"


class Arbiter(arbiter.Arbiter):  # type: ignore[misc]
    """A master that another one started serves on :func:`running.trial`, until USR1 says that it is approved."""

    trial: TrialSocket | None = None

    def start(self) -> None:
        """Listen; a successor has its own socket too before it tells of itself."""
        if "GUNICORN_PID" in os.environ:
            self.trial = TrialSocket(running.trial(os.getpid()), self.cfg, self.log)
        super().start()

    def spawn_worker(self) -> Any:
        """A worker of the trial hears its own socket alone."""
        shared = self.LISTENERS
        if self.trial is not None:
            self.LISTENERS = [self.trial]
        try:
            return super().spawn_worker()
        finally:
            self.LISTENERS = shared

    def handle_usr1(self) -> None:
        """Approved: new workers of the same loaded program take the shared socket; those of the trial leave."""
        if self.trial is None:
            super().handle_usr1()
            return
        self.trial.close()
        self.trial = None
        for _ in range(self.num_workers):
            self.spawn_worker()
        self.manage_workers()

    def maybe_promote_master(self) -> None:
        """The one before is gone without a word: nobody else is left to serve."""
        super().maybe_promote_master()
        if self.trial is not None and self.master_pid == 0:
            self.handle_usr1()
