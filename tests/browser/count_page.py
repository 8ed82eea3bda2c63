"""M7.5: a scanner at ten codes a second on the count page of 10,000 batches: ``python -m tests.browser.count_page --data DIR``.

``DIR`` is a demo hospital's data folder (made where there is none); the warehouse gets 10,000 batches of 1,000 drugs once. A
count sheet is made by keyboard, then codes are typed as a scanner does, at ``--rate`` a second whatever the page does. Printed:
how long until the box is ready, how late each code was taken, the browser's long tasks, when the last count was sent, and how
many lines the server has counted. Ends with 1 when one count is missing or the page fell more than a second behind.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from sqlalchemy import func, select

from demo.build import PASSWORD
from his_server.actor import SYSTEM
from his_server.db import today
from modules.kernel.masterdata.models import Drug
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Batch, StockBalance, StocktakeLine, Store
from modules.kernel.stock.service import Document, Receipt
from tests.browser.driving import CHROMIUM, FLAGS, Desk, new_context, serving, sit_down

DRUGS, LOTS, MOST_LATE = 1000, 10, 1.0
WATCH = """() => { window.longTasks = []
  const seen = (list) => window.longTasks.push(...list.getEntries().map((one) => one.duration))
  new PerformanceObserver(seen).observe({entryTypes: ['longtask']}) }"""


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("var/count-page"))
    options.add_argument("--codes", type=int, default=2000)
    options.add_argument("--rate", type=float, default=10)
    given = options.parse_args()
    os.environ.update(HIS_DATA_DIR=str(given.data.resolve()), HIS_SECURE_COOKIES="0", HIS_SIMULATE_PAYMENTS="1", HIS_DEMO="1",
                      HIS_LOG_LEVEL="ERROR")
    subprocess.run([sys.executable, "-m", "his_server", "demo", "--if-empty"], check=True)
    from his_server.cli.context import house

    database = house().database
    _fill(database)
    with serving(given.data, dict(os.environ)) as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        desk = sit_down(new_context(browser), base, "warehouse01", password=PASSWORD)
        late = _count(desk, given.codes, given.rate)
        browser.close()
    with database.begin(write=False) as session:
        sheet = session.scalar(select(func.max(StocktakeLine.stocktake_id)))
        lots = (select(Batch.lot_no).join(StocktakeLine, StocktakeLine.batch_id == Batch.id)
                .where(StocktakeLine.stocktake_id == sheet))
        counted = set(session.scalars(lots.where(StocktakeLine.counted.is_not(None))))
        wanted = set(session.scalars(lots)) & {_lot(number) for number in range(given.codes)}  # a sheet of some classes
    print(f"lines counted on the server: {len(counted)} of {len(wanted)} whose codes were scanned ({given.codes} codes)")
    raise SystemExit(0 if counted == wanted and late <= MOST_LATE else 1)


def _lot(number: int) -> str:
    return f"PD{number % DRUGS:04d}{number // DRUGS}"


def _fill(database: Any) -> None:
    with database.begin() as session:
        session.info["actor"] = SYSTEM
        store = session.scalars(select(Store).where(Store.name == "药库")).one()
        there = session.scalar(select(func.count()).select_from(StockBalance).join(Batch, Batch.id == StockBalance.batch_id)
                               .where(StockBalance.store_id == store.id, Batch.lot_no.like("PD%")))
        if there:
            return
        drugs = list(session.scalars(select(Drug).where(Drug.active.is_(True)).order_by(Drug.id).limit(DRUGS)))
        day = today(session)
        stock.receive(session, SYSTEM, store.id, [
            Receipt(drug.id, _lot(lot * DRUGS + place), day + timedelta(days=400 + lot), Decimal("12.34"),
                    Decimal(drug.pack_size * 10), None, drug.pack_size)
            for place, drug in enumerate(drugs) for lot in range(LOTS)], Document("opening", 1), "opening")
        print(f"{len(drugs) * LOTS} batches filled")


def _count(desk: Desk, codes: int, rate: float) -> float:
    """Make a sheet and scan; by how many seconds the slowest code was late."""
    page = desk.page
    desk.menu("盘点")
    page.wait_for_timeout(2000)
    if page.locator(".btn", has_text="作废").count():  # one is open from before
        desk.keys("F7")
        desk.on_screen(".modal-box")
        desk.keys("Enter")
        page.wait_for_timeout(3000)
    page.evaluate(WATCH)
    began = time.monotonic()
    desk.keys("F4")
    desk.on_screen(".modal-box")
    desk.keys("Enter")
    page.locator("[aria-label=扫码]:focus").wait_for(timeout=120_000)
    print(f"sheet made, scanner's box ready after {time.monotonic() - began:.1f} s")
    behind, taken, start = [], [], time.monotonic()
    for number in range(codes):
        due = start + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        at = time.monotonic()
        page.keyboard.insert_text(_lot(number))
        page.keyboard.press("Enter")
        taken.append(time.monotonic() - at)
        behind.append(time.monotonic() - due)
    typed = time.monotonic()
    bar = page.locator(".page-bar")
    while ("待发送" in bar.inner_text() or "正在读取" in bar.inner_text()) and time.monotonic() - typed < 240:
        page.wait_for_timeout(250)
    long = page.evaluate("window.longTasks")
    print(f"{codes} codes in {typed - start:.1f} s; a code took {sorted(taken)[codes // 2] * 1000:.0f} ms (median), "
          f"{max(taken) * 1000:.0f} ms at most; latest {max(behind):.2f} s behind the scanner; all sent "
          f"{time.monotonic() - typed:.1f} s after the last; long tasks {len(long)}, {max(long, default=0):.0f} ms at most")
    return max(behind)


if __name__ == "__main__":
    main()
