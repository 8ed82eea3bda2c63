"""Prometheus metrics; scraped at ``/metrics``, no personal data in labels."""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

request_seconds = Histogram(
    "his_request_seconds", "Time to answer, by route", ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
responses = Counter("his_responses", "Answers by status", ["status"])
deliveries = Counter("his_deliveries", "Outbox deliveries by destination and outcome", ["destination", "outcome"])
jobs = Counter("his_jobs", "Scheduled jobs by outcome", ["job", "outcome"])
breakers = Counter("his_breakers", "Circuit breakers that opened, by interface", ["interface"])
crypto_alarms = Counter("his_crypto_alarms", "Failures of the cryptographic device", ["function"])
sign_ins = Counter("his_sign_ins", "Sign-ins by outcome", ["outcome"])


def exposition() -> bytes:
    """The text exposition: of all web processes where ``his-server run`` has set their shared folder."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
