"""Insured settlements through window, kiosk and mobile at once, every line bad, web and worker killed: each once, or not at all.

The simulators are a process of their own with all eight faults of the hub at random over every interface; gunicorn, one of its
processes or the worker is killed every few seconds. At the end the lines are good again, recovery runs until nothing moves, and
our books are compared with everybody else's, row by row. ``HIS_LONG_ONCE`` says how many settlements are begun
(``make test-long``: 300; the proof: 2,000), ``HIS_LONG_SEED`` by which seed, ``HIS_LONG_MINUTES`` after how long the day is
over although not all were begun (on a busy machine; what was begun is printed).
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from his_server.actor import SYSTEM, Actor
from his_server.app import bind_ports
from his_server.clock import ManualClock, local
from his_server.db import Database, numbering
from his_server.messaging.outbox import Delivery
from his_server.messaging.worker import Worker
from his_server.registry import Hospital
from his_server.security import seals
from his_server.security.models import User
from his_server.settings import Settings
from interfaces.einvoice import simulator as fiscal
from interfaces.hub.simulating import FAULTS, Rule, available
from interfaces.med_mobile_pay import simulator as phones
from interfaces.nhsa.simulator.books import Books as Centre
from modules.finance import service as finance
from modules.finance.models import StatementDifference
from modules.insurance_office import service as office
from modules.insurance_office.models import Difference
from modules.kernel.charging import rules
from modules.kernel.charging.models import (
    ChargeLine,
    ElectronicInvoice,
    InsuranceClaim,
    Intent,
    Payment,
    RefundCase,
    Settlement,
)
from modules.kernel.charging.service import invoice_checks, shifts
from modules.kernel.charging.service.intents import needs_somebody
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from tests.factories import insured as make
from tests.factories.security import make_user
from tests.fault import test_kills as kills_of
from tests.fault.channels import Channel, Outside, Quota
from tests.fault.peers import (
    Surroundings,
    all_delivered,
    machine_got_each_once,
    platform_knows_all,
    surrounded,
)
from tests.fault.walking import Progress
from tests.interfaces.hub.opening import make_partner
from tests.serving import START_SECONDS, House

CONFIG = """
[module.kiosk]
account = "kiosk"
[module.nhsa]
timeout_seconds = 3
[module.scan_payment]
timeout_seconds = 3
[module.med_mobile_pay]
timeout_seconds = 3
[module.einvoice]
timeout_seconds = 3
[module.dispensing_machine]
timeout_seconds = 2
settle_seconds = 4
[module.integration_platform]
timeout_seconds = 2
[module.queue_calling]
timeout_seconds = 2
[module.pacs]
timeout_seconds = 2
"""
BAD = (Rule("drop_before", chance=2), Rule("drop_after", chance=2), Rule("short", chance=1), Rule("garbage", chance=1),
       Rule("refuse", chance=2), Rule("slow", chance=1, milliseconds=600), Rule("slow", chance=1, milliseconds=3500),
       Rule("reorder", chance=1, milliseconds=300), Rule("duplicate", chance=2))
CHANNELS = ("window", "kiosk", "mobile", "window", "kiosk", "window")
EVERY = (3.0, 7.0)
"""Seconds between two kills."""
BETWEEN = 100
"""Requests between two kills, at least: a machine that is busy with starting again settles nothing."""
VICTIMS = ("child", "worker", "web", "child", "worker")
ENDS = kills_of.ENDS | {"insure used", "insure refused", "insure reversed", "uninsure confirmed", "uninsure used"}
OWN = Actor(user_id=7, login="insurance", name="医保办")


@dataclass
class Stage:
    """Everything that plays."""

    around: Surroundings
    hospital: Hospital
    walkers: list[Channel]
    outside: Outside

    @property
    def house(self) -> House:
        """The hospital's processes."""
        return self.around.house

    @property
    def folder(self) -> Path:
        """The simulators' books."""
        return self.around.folder


@contextmanager
def _stage(tmp_path: Path, db_url: str, hospital: Hospital, monkeypatch: pytest.MonkeyPatch, wanted: int, seed: int
           ) -> Iterator[Stage]:
    with surrounded(tmp_path, db_url, hospital, monkeypatch, CONFIG) as around:
        house, folder, world = around.house, around.folder, around.house.world
        make.no_codes_needed(world)
        with world.db.begin() as session:
            for n, login in enumerate(("mobile", "kiosk")):
                user = make_user(session, "cashier", login=login, name=f"{login} 渠道")
                numbering.grant_range(session, RECEIPT_SERIES, user.id, (n + 500) * 10**6, (n + 501) * 10**6 - 1)
        from interfaces.kiosk.inbound import gateway

        partner = make_partner(world.db, world.app.test_client(), "kiosk", per_minute=10**6, cases=[
            f"conversions.{what}" for what in ("quote", "convert", "state")])
        assert gateway.routes
        (folder / "med_mobile_pay").mkdir(parents=True, exist_ok=True)
        (folder / "med_mobile_pay" / "notify.json").write_text(json.dumps(
            {"url": f"http://127.0.0.1:{house.port}/api/open/med-mobile-pay/notify"}))
        outside = Outside(folder, around.port, partner, Quota(wanted))
        progress = Progress()
        walkers = [Channel(house, name, seed * 100 + n, progress, outside, CHANNELS[n % len(CHANNELS)])
                   for n, name in enumerate(house.hire_cashiers(len(CHANNELS)))]
        yield Stage(around, hospital, walkers, outside)


def _play(stage: Stage, seed: int) -> int:
    """Until enough settlements were begun; how many kills that took."""
    house, rng = stage.house, random.Random(seed)
    progress, quota, kills = stage.walkers[0].progress, stage.outside.quota, 0
    house.start_web()
    house.start_worker()
    for walker in stage.walkers:
        walker.start()
    until = time.monotonic() + 60 * float(os.environ.get("HIS_LONG_MINUTES", "90"))
    while not quota.over.wait(rng.uniform(*EVERY)) and time.monotonic() < until:
        kills_of._kill(house, rng.choice(VICTIMS), rng)
        kills += 1
        progress.more(BETWEEN, timeout=START_SECONDS)
    for walker in stage.walkers:
        walker.enough.set()
    for walker in stage.walkers:
        walker.join(3 * START_SECONDS)
        assert not walker.is_alive()
    progress.more(0)
    return kills


# The evening: lines are good, everything is brought to its end


@contextmanager
def _later(stage: Stage, **delta: float) -> Iterator[Database]:
    """The same hospital some time later, its lines in this process and good."""
    now = stage.house.world.db
    settings = Settings(data_dir=stage.house.data_dir, database_url="", simulate_payments=True, log_level="ERROR")
    later = Database(now.url, clock=ManualClock(now.clock.now() + timedelta(**delta)), sealer=now.sealer)
    try:
        bind_ports(later, stage.hospital, settings)
        yield later
    finally:
        later.dispose()


def _recover(stage: Stage, *minutes: int) -> None:
    """What the worker does in that time, until nothing moves; the daily jobs aside."""
    for after in minutes:
        with _later(stage, minutes=after) as later:
            worker = Worker(later, stage.hospital)
            jobs = [job for job in stage.hospital.jobs if job.every is not None]
            for _ in range(12):
                while worker.recover() + worker.fan_out() + worker.deliver_due() + worker.ask_due():
                    pass
                before = _states(later)
                for job in jobs:
                    job.run(later)
                if _states(later) == before:
                    break


def _states(database: Database) -> Any:
    with database.begin(write=False) as session:
        return (session.execute(select(Intent.purpose, Intent.state, func.count()).group_by(Intent.purpose, Intent.state)
                                .order_by(Intent.purpose, Intent.state)).all(),
                session.execute(select(Delivery.state, func.count()).group_by(Delivery.state).order_by(Delivery.state)).all())


def _evening(stage: Stage) -> None:
    """Nobody goes home with anything open: what the insurer didn't pay is paid, handed out, performed, closed."""
    _recover(stage, 20, 45, 80)
    world, desk = stage.house.world, stage.walkers[0]
    with world.db.begin(write=False) as session:
        due = list(session.scalars(select(RefundCase.id).where(RefundCase.state == "due")))
    for key in due:
        assert desk.must(desk.cashier, "POST", f"/api/charging/insurance/refunds/{key}/collect", {})["state"] == "done"
    kills_of._walk_on(stage.house, stage.walkers)  # type: ignore[arg-type]
    for login in ("mobile", "kiosk"):
        with world.db.begin() as session:
            user = session.scalars(select(User).where(User.login == login)).one()
            channel = Actor(user_id=user.id, login=login, name=user.name)
            session.info["actor"] = channel
            if shifts.open_shift_of(session, user.id) is not None:
                shifts.hand_over(session, OWN, shifts.close_shift(session, channel).id)
    _recover(stage, 81, 100, 140)


# What must be so


def _all_at_their_ends(session: Session) -> Counter[str]:
    """Every call outside is decided, and what nobody could decide would have an owner."""
    for row in session.scalars(select(Intent).where(needs_somebody(session.info["database"].clock.now()))):
        assert row.owner_id is not None, row.number
    ends = Counter[str]({f"{purpose} {state}": count for purpose, state, count in session.execute(
        select(Intent.purpose, Intent.state, func.count()).group_by(Intent.purpose, Intent.state))})
    assert set(ends) <= ENDS, ends
    return ends


def _told_is_so(session: Session, told: dict[int, str]) -> None:
    """Whoever was told "settled" is settled, or was refunded since; whoever was told "not" is not."""
    rows = {row.id: row for row in session.execute(
        select(InsuranceClaim.id, InsuranceClaim.settlement_id, Intent.state).join(Intent, Intent.id == InsuranceClaim.intent_id)
        .where(InsuranceClaim.id.in_(list(told))))} if told else {}
    for claim, state in told.items():
        row = rows[claim]
        if state == "used":
            assert row.settlement_id is not None and row.state in ("used", "reversed"), (claim, row)
        else:
            assert (row.state, row.settlement_id is None) == (state, True) or row.state == "reversed", (claim, state, row)


def _claims(session: Session, channel: str) -> list[Any]:
    return list(session.execute(
        select(InsuranceClaim, Intent.number, Intent.state, Intent.peer_number)
        .join(Intent, Intent.id == InsuranceClaim.intent_id).where(Intent.channel == channel).order_by(InsuranceClaim.id)))


def _centre_agrees(session: Session, folder: Path) -> int:
    """What stands at the centre is what stands here, settlement by settlement, to the fen."""
    theirs, backed = {}, set()
    for row in Centre(folder / "nhsa").rows("SELECT setl_id, info, reverses FROM settlement WHERE void = 0"):
        if row["reverses"]:
            backed.add(row["reverses"])
        else:
            info = json.loads(row["info"])
            theirs[row["setl_id"]] = tuple(Decimal(info[name]) for name in (
                "medfee_sumamt", "fund_pay_sumamt", "acct_pay", "hosp_part_amt", "psn_cash_pay"))
    standing = {number: amounts for number, amounts in theirs.items() if number not in backed}
    ours = {row.peer_number: tuple(getattr(row.InsuranceClaim, name) for name in (
        "total", "fund", "account", "hospital", "cash")) for row in _claims(session, rules.INSURER) if row.state == "used"}
    assert ours == standing
    return len(standing)


def _phones_agree(session: Session, folder: Path) -> int:
    """Each order that stands at the mobile platform is settled here, by the same amounts; nothing else is."""
    paid = phones.orders(folder / "med_mobile_pay")
    standing = {ours: (total, fund, account, own) for ours, total, fund, account, own, back in paid if not back}
    ours = {row.number: tuple(getattr(row.InsuranceClaim, name) for name in ("total", "fund", "account", "cash"))
            for row in _claims(session, rules.MOBILE) if row.state == "used"}
    assert ours == standing
    cash = session.scalar(select(func.sum(Payment.amount)).where(Payment.method == rules.MOBILE)) or Decimal(0)
    assert phones.net(folder / "med_mobile_pay")[1] == cash
    return len(standing)


def _invoices_agree(session: Session, folder: Path) -> int:
    """Each settlement with money in it has its invoice, once; the platform has those and no other."""
    there = Counter((colour, amount) for _, colour, amount in fiscal.invoices(folder / "einvoice"))
    here = Counter((row.colour, row.amount) for row in session.scalars(
        select(ElectronicInvoice).where(ElectronicInvoice.state.in_(("issued", "red")))))
    assert there == here, (there - here, here - there)
    due = set(session.scalars(select(Settlement.id).where(Settlement.kind == "charge", Settlement.total > 0)))
    blue = Counter(session.scalars(select(ElectronicInvoice.root_id).where(ElectronicInvoice.colour == "blue").distinct()))
    assert set(blue) == due, (due ^ set(blue))
    return sum(there.values())


def _days(stage: Stage) -> set[date]:
    with stage.house.world.db.begin(write=False) as session:
        first = session.scalar(select(func.min(Settlement.settled_at)))
    end = local(stage.house.world.db.clock.now() + timedelta(minutes=180)).date()
    begin = local(first).date() if first is not None else end
    return {begin + timedelta(days=n) for n in range((end - begin).days + 1)}


def _act(database: Database, statement: int, act: str) -> Any:
    """Hand a statement in, or confirm it, as the office's page does."""
    with database.begin() as session:
        session.info["actor"] = OWN
        office.open_act(session, OWN, statement, act)
    return office.act(database, OWN, statement, act)


def _reconciled(stage: Stage) -> Counter[str]:
    """Tomorrow: N4 with the centre, N5 with the acquirer, H8 with the fiscal platform; no difference anywhere."""
    found: Counter[str] = Counter()
    with _later(stage, days=1, hours=4) as later:
        for day in sorted(_days(stage)):
            with later.begin() as session:
                session.info["actor"] = OWN
                made = [one.id for one in office.build_day(session, OWN, day)]
            for key in made:
                assert _act(later, key, "upload").state == "uploaded"
                done = office.compare(later, OWN, key)
                found["statements"] += 1
                found["statement rows"] += done.entries
                with later.begin(write=False) as session:
                    wrong = [(d.kind, d.peer_number, d.our_total, d.their_total) for d in session.scalars(
                        select(Difference).where(Difference.statement_id == key))]
                assert (done.state, wrong) == ("matched", []), (done.number, done.message, wrong)
                assert _act(later, key, "confirm").state == "confirmed"
            finance.fetch(later, SYSTEM, "scan", day)
            assert invoice_checks.check(later, SYSTEM, day).state == "even"
        with later.begin(write=False) as session:
            assert [(d.kind, d.number, d.state) for d in session.scalars(
                select(StatementDifference).where(StatementDifference.state != "cleared"))] == []
    return found


def _once(tmp_path: Path, db_url: str, hospital: Hospital, monkeypatch: pytest.MonkeyPatch, wanted: int, seed: int) -> None:
    print(f"\n{wanted} settlements, seed {seed}, {db_url.partition(':')[0]}")
    assert {rule.fault for rule in BAD} == set(FAULTS), "all that the hub can do wrong"
    with _stage(tmp_path, db_url, hospital, monkeypatch, wanted, seed) as stage:
        stage.around.spoil(available(), *BAD)
        began = time.monotonic()
        kills = _play(stage, seed)
        lasted = time.monotonic() - began
        stage.around.spoil(available())
        stage.house.kill_worker()
        done = sum((w.done for w in stage.walkers), Counter[str]())
        print(f"begun {dict(stage.outside.quota.begun)} in {lasted:.0f} s, {kills} kills; told {dict(done)}")
        _evening(stage)
        all_delivered(stage.house)
        world = stage.house.world
        with world.db.begin(write=False) as session:
            ends = _all_at_their_ends(session)
            print(f"ends {dict(ends)}")
            _told_is_so(session, stage.outside.told)
            centre, on_phones = _centre_agrees(session, stage.folder), _phones_agree(session, stage.folder)
            invoices = _invoices_agree(session, stage.folder)
            kinds = Counter({kind: count for kind, count in session.execute(
                select(Settlement.kind, func.count()).group_by(Settlement.kind))})
            assert not session.scalar(select(func.count()).select_from(ChargeLine).where(ChargeLine.state == "open"))
        kills_of._books_agree(stage.house)
        kills_of._nothing_stuck(stage.house, ENDS)
        pushed = machine_got_each_once(stage.house, stage.folder)
        registrations = platform_knows_all(stage.house, stage.folder)
        reconciled = _reconciled(stage)
        assert world.findings() == []
        with world.db.begin(write=False) as session:
            assert [f"{f.check} {f.where}: {f.message}" for f in seals.verify_all(session)] == []
        assert "defect" not in stage.house.complaints(), stage.house.complaints()[-4000:]
        print(f"standing: {centre} at the centre, {on_phones} on phones; {dict(kinds)}; {pushed} prescriptions and "
              f"{registrations} registrations once, {invoices} invoices; {dict(reconciled)}")
        begun = stage.outside.quota.begun
        assert set(begun) == {"window", "kiosk", "mobile"} and (stage.outside.quota.over.is_set()
                                                               or "HIS_LONG_MINUTES" in os.environ), begun
        assert ends["insure used"] + ends["insure reversed"] > sum(begun.values()) // 2, "most were settled by the insurer"
        assert done["lost"] and kills


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.requirement("H1", "H2", "H5", "H8", "H9", "H12", "H18", "N2", "N4", "YB-02", "DB-30", "M1.10", "M1.14", "M7.2",
                         "M7.3")
def test_exactly_once(tmp_path: Path, db_url: str, hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    _once(tmp_path, db_url, hospital, monkeypatch, int(os.environ.get("HIS_LONG_ONCE", "300")),
          int(os.environ.get("HIS_LONG_SEED", "11")))
