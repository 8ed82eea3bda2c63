"""The stand-ins that a test environment has instead of outside systems: their books, and what befalls the lines to them.

An installed product has them only where its settings say so (``simulate_payments``). A line that leads outside is never
touched: what would be done to it is 未执行.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from his_server.compliance.frame import NotRun
from his_server.compliance.tables import Tables
from his_server.compliance.target import Target

NO_ADDRESS = "（未设地址）"
"""How ``his-server hub list`` shows a line that leads nowhere outside."""
PAUSE = 1.0
"""Seconds between two looks at what the worker does."""


@dataclass
class Peer:
    """A stand-in: ``folder`` holds its books and the faults of its line."""

    target: Target
    folder: Path

    def books(self, file: str) -> Tables:
        """Its books. :raises NotRun: it has none yet: nothing was ever asked of it."""
        path = self.folder / file
        if not path.exists():
            raise NotRun(f"{self.folder.name} 的模拟器没有账（{path}）：被测服务没有用它")
        return Tables(f"sqlite:///{path}")

    @contextmanager
    def failing(self, *faults: tuple[str, str], count: int | None = 1) -> Iterator[None]:
        """While the block runs the line fails: (fault, transaction), each ``count`` times; None: always."""
        self._write([{"fault": fault, "where": where, "count": count} for fault, where in faults])
        try:
            yield
        finally:
            self._write([])

    def _write(self, rules: list[dict[str, Any]]) -> None:
        fresh = self.folder / f"faults.{self.target.mark}"
        fresh.write_text(json.dumps(rules), "utf-8")
        self.target.hand_over(fresh).replace(self.folder / "faults.json")


def peer(target: Target, package: str) -> Peer:
    """An interface's stand-in. :raises NotRun: the line leads outside, or there is none."""
    if target.data_dir is None:
        raise NotRun("没有给出数据目录（--data-dir），看不到模拟器的账")
    if "hub" not in target.kept:
        target.kept["hub"] = target.his("hub", "list").out.splitlines()
    line = next((one for one in target.kept["hub"] if f"  {package}  " in one), "")
    if NO_ADDRESS not in line:
        raise NotRun(f"接口 {package} 接着外部地址或没有安装：只在接着模拟器的测试环境（simulate_payments）做")
    open_ones = target.whoever("charging.insure").get("/api/charging/channels").good("支付渠道")
    if not open_ones["insurance"]:
        raise NotRun("没有开通医保线路，也没有启用模拟器（测试环境设 simulate_payments = true）")
    folder = target.data_dir / "simulators" / package
    if not folder.exists():  # nothing was asked of it yet; it must be able to write there
        for made in (folder.parent, folder):
            made.mkdir(exist_ok=True)
            target.hand_over(made)
    return Peer(target, folder)


def until(ready: Callable[[], Any], seconds: float) -> Any:
    """Ask again and again until the answer is true; the last answer."""
    deadline = time.monotonic() + seconds
    while not (found := ready()) and time.monotonic() < deadline:
        pause()
    return found


def pause() -> None:
    """Let the worker work."""
    time.sleep(PAUSE)
