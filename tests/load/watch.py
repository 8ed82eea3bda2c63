"""What is looked at while the load runs: latencies and refusals per action, lateness, the memory of the server's processes."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.floor import Timing, tree

LEGAL = frozenset({"registration.full", "registration.twice", "charging.not_refundable", "charging.line_settled",
                   "pharmacy.out_of_stock", "stock.not_enough", "orders.short"})
"""Refusals that a real day has too: the slot is gone, the drug is out, a colleague was faster."""


class Watch:
    """Collects what the clients see; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.refused: Counter[tuple[str, str]] = Counter()
        self.errors: list[str] = []
        self.late: dict[str, float] = defaultdict(float)
        self.began = time.perf_counter()

    def answered(self, action: str, seconds: float, status: int, answer: object) -> None:
        """An answer came."""
        with self._lock:
            self.latencies[action].append(seconds)
            if status >= 400:
                code = str(answer.get("code")) if isinstance(answer, dict) else ""
                if status == 409 and code in LEGAL:
                    self.refused[action, code] += 1
                else:
                    self.errors.append(f"{action} {status} {str(answer)[:300]}")

    def failed(self, action: str, error: BaseException) -> None:
        """No answer came, or what came made no sense."""
        with self._lock:
            self.errors.append(f"{action} {type(error).__name__}: {error}")

    def was_late(self, role: str, seconds: float) -> None:
        """Work of a role waited so long for free hands."""
        with self._lock:
            self.late[role] = max(self.late[role], seconds)

    def report(self) -> str:
        """A line per action, slowest p95 last."""
        lines = []
        for action, times in sorted(self.latencies.items(), key=lambda item: Timing(tuple(item[1]), 1).percentile(95)):
            timing = Timing(tuple(times), time.perf_counter() - self.began)
            lines.append(f"  {action:<22}{len(times):>7}   p50 {timing.percentile(50):7.1f}  p95 {timing.percentile(95):7.1f}  "
                         f"p99 {timing.percentile(99):7.1f}  max {max(times) * 1000:7.0f} ms")
        for (action, code), count in sorted(self.refused.items()):
            lines.append(f"  refused {action} {code}: {count}")
        lines.append("  waited for free hands, at most: " + ", ".join(
            f"{role} {seconds:.1f} s" for role, seconds in sorted(self.late.items())))
        return "\n".join(lines)


def memory(pids: Sequence[int]) -> int:
    """Private memory of process trees in KiB: what they have and nobody shares."""
    total = 0
    for root in pids:
        for pid in tree(root):
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
            total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
    return total


def cpu_seconds(root: int) -> float:
    """Processor time of a process tree so far, its ended children's too."""
    ticks = 0
    for pid in tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(fields[place]) for place in (11, 12, 13, 14))
    return ticks / os.sysconf("SC_CLK_TCK")


class MemoryWatch(threading.Thread):
    """Samples the memory every few seconds until it is told to stop."""

    def __init__(self, pids: Sequence[int], every: float) -> None:
        super().__init__(daemon=True)
        self.pids, self.every = pids, every
        self.samples: list[tuple[float, int]] = []
        self._done = threading.Event()

    def run(self) -> None:
        began = time.perf_counter()
        while not self._done.wait(self.every):
            self.samples.append((time.perf_counter() - began, memory(self.pids)))

    def stop(self) -> None:
        self._done.set()
        self.join()

    def growth(self) -> float:
        """Mean of the last quarter as a multiple of the second quarter's; the first warms up."""
        sizes = [size for _, size in self.samples]
        quarter = max(len(sizes) // 4, 1)
        second, last = sizes[quarter:2 * quarter] or sizes, sizes[-quarter:]
        return (sum(last) / len(last)) / (sum(second) / len(second))

    def report(self) -> str:
        """Ten samples over the time, and the growth."""
        shown = self.samples[:: max(len(self.samples) // 10, 1)]
        return ("  memory (private, all server processes), MiB: "
                + " ".join(f"{seconds:.0f}s={size // 1024}" for seconds, size in shown)
                + f"\n  last quarter / second quarter: {self.growth():.3f}")
