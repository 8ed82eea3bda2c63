"""The README's pictures: ``python -m tests.browser.pictures [--data DIR]``.

Makes the demo hospital in a folder of its own (``--data``: one that is there already), serves it, works at two desks
by keyboard and writes docs/images/cashier.png and docs/images/pharmacy.png.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from sqlalchemy import func, select

from demo.build import PASSWORD
from his_server.db import Database
from his_server.keys import open_sealer
from his_server.settings import Settings
from modules.kernel.charging.models import ChargeLine
from modules.kernel.patients.models import Person
from tests.browser.driving import CHROMIUM, FLAGS, Desk, new_context, serving, sit_down

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MOST_BYTES = 150_000


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, help="data folder of a demo hospital")
    given = options.parse_args().data
    with tempfile.TemporaryDirectory() as fresh:
        _work(given or Path(fresh))


def _work(folder: Path) -> None:
    environment = {**os.environ, "HIS_DATA_DIR": str(folder), "HIS_SECURE_COOKIES": "0", "HIS_SIMULATE_PAYMENTS": "1",
                   "HIS_DEMO": "1", "HIS_LOG_LEVEL": "ERROR"}
    subprocess.run([sys.executable, "-m", "his_server", "demo", "--if-empty"], env=environment, check=True)
    with serving(folder, environment) as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        cashier = sit_down(new_context(browser), base, "cashier01", password=PASSWORD)
        cashier.menu("收费")
        cashier.focused("查找病人")
        cashier.type(_longest_bill(folder), "Enter")
        cashier.focused("待缴费用")
        cashier.keys("F10")
        cashier.focused("现金实付")
        cashier.type("300")
        _picture(cashier, "cashier")
        pharmacist = sit_down(new_context(browser), base, "pharmacist01", password=PASSWORD)
        pharmacist.menu("发药")
        pharmacist.focused("发药队列")
        pharmacist.on_screen("[aria-label=处方明细] tbody tr")
        _picture(pharmacist, "pharmacy")
        browser.close()


def _longest_bill(folder: Path) -> str:
    """The outpatient number of the person with the most unpaid lines."""
    settings = Settings(data_dir=folder, database_url=f"sqlite:///{folder / 'his.db'}", demo=True)
    database = Database(settings.database_url, sealer=open_sealer(settings))
    with database.begin(write=False) as session:
        person = session.scalars(select(ChargeLine.person_id).where(ChargeLine.state == "open")
                                 .group_by(ChargeLine.person_id).order_by(func.count().desc()).limit(1)).one()
        number = session.scalars(select(Person.outpatient_no).where(Person.id == person)).one()
    database.dispose()
    return number


def _picture(desk: Desk, name: str) -> None:
    """A PNG of at most 256 colours: a screen has few, the file is a third."""
    taken = Image.open(io.BytesIO(desk.page.screenshot()))
    path = IMAGES / f"{name}.png"
    IMAGES.mkdir(parents=True, exist_ok=True)
    taken.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {MOST_BYTES}")
    print(f"{path.relative_to(IMAGES.parents[1])}  {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
