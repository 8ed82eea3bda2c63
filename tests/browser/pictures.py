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
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from PIL import Image
from playwright.sync_api import APIResponse, sync_playwright

from demo.build import PASSWORD
from tests.browser.driving import CHROMIUM, FLAGS, Desk, new_context, serving, sit_down

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MOST_BYTES = 150_000
DIAGNOSIS = "急性支气管炎"
DRUGS = (("盐酸氨溴索片", 7), ("阿莫西林克拉维酸钾片", 6), ("维生素B1片", 7))
EXAMS = {"放射影像科": ("DR胸部正侧位",), "医学检验科": ("血常规(五分类)", "肝功能组合(十二项)")}


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
        person, prescription = _order(sit_down(new_context(browser), base, "doctor01", password=PASSWORD))
        cashier = sit_down(new_context(browser), base, "cashier01", password=PASSWORD)
        cashier.menu("收费")
        cashier.focused("查找病人")
        cashier.type(person, "Enter")
        cashier.focused("待缴费用")
        cashier.keys("F10")
        cashier.focused("现金实付")
        cashier.type("300")
        cashier.on_screen(".pay .btn:enabled")
        _picture(cashier, "cashier")
        cashier.keys("F8")
        cashier.see("收费成功")
        pharmacist = sit_down(new_context(browser), base, "pharmacist01", password=PASSWORD)
        pharmacist.menu("发药")
        pharmacist.focused("发药队列")
        pharmacist.keys("F3")
        pharmacist.focused("处方号")
        pharmacist.type(prescription, "Enter")
        pharmacist.see(DRUGS[0][0], "[aria-label=处方明细]")
        pharmacist.focused("发药队列")
        _picture(pharmacist, "pharmacy")
        browser.close()


def _order(doctor: Desk) -> tuple[str, str]:
    """Somebody's orders of this morning, not paid yet: the outpatient number, the prescription's number."""
    ask = doctor.page.request

    def get(path: str) -> Any:
        return _ok(ask.get(f"{doctor.base}/api/{path}"))

    def send(path: str, body: dict[str, Any]) -> Any:
        return _ok(ask.post(f"{doctor.base}/api/orders/{path}", data={"diagnosis": DIAGNOSIS, **body},
                            headers={"Idempotency-Key": uuid4().hex, "Origin": doctor.base,
                                     "X-CSRF-Token": session["csrf"]}))

    session = get("session")
    department = session["user"]["department"]["id"]
    visit = min(get(f"orders/visits?department_id={department}&mine=true")["items"], key=lambda one: one["birth_date"])
    departments = {one["name"]: one["id"] for one in get("orders/choices")["departments"]}
    lines = []
    for name, days in DRUGS:
        drug = next(one for one in get(f"orders/drugs?q={quote(name)}&encounter_id={visit['id']}")["items"]
                    if one["name"] == name)
        lines.append({"drug_id": drug["id"], "dose": drug["dose_amount"], "usage": drug["default_usage"],
                      "frequency": drug["default_frequency"], "days": days})
    made = send("prescriptions", {"encounter_id": visit["id"], "lines": lines})
    for department_name, names in EXAMS.items():
        items = [next(one for one in get(f"orders/items?q={quote(name)}")["items"] if one["name"] == name)["id"]
                 for name in names]
        send("requests", {"encounter_id": visit["id"], "performing_department_id": departments[department_name],
                          "lines": [{"item_id": item, "quantity": "1"} for item in items]})
    return visit["outpatient_no"], made["number"]


def _ok(answer: APIResponse) -> Any:
    if not answer.ok:
        raise SystemExit(f"{answer.url}: {answer.status} {answer.text()}")
    return answer.json()


def _picture(desk: Desk, name: str) -> None:
    """A PNG of at most 256 colours: a screen has few, the file is a third."""
    taken = Image.open(io.BytesIO(desk.page.screenshot(animations="disabled")))
    path = IMAGES / f"{name}.png"
    IMAGES.mkdir(parents=True, exist_ok=True)
    taken.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {MOST_BYTES}")
    print(f"{path.relative_to(IMAGES.parents[1])}  {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
