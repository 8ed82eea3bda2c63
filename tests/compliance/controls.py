"""The negative controls: for each check what is broken, and how. One line a control."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date

from crypto import get_provider
from his_server import reporting, startup
from his_server.compliance.checks import doors, inputs, insurance, program, running
from his_server.exports import service as exports
from his_server.security import (
    accounts,
    archive,
    certificates,
    integrity,
    passwords,
    proof,
    rules,
    seals,
    signin,
    syslog,
)
from his_server.security import settings as security_settings
from interfaces.nhsa import subscriptions
from interfaces.nhsa.client import asking
from modules.discipline import cli as discipline_cli
from modules.discipline import service as statistics
from modules.discipline.reports import colleagues
from modules.finance import service as reconciling
from modules.insurance_office.service import comparing
from modules.kernel.charging.ports import REFUSED, Settlement
from modules.kernel.orders import queries as order_queries
from modules.kernel.orders import rules as order_rules
from modules.kernel.orders.service import following, prescribing
from modules.kernel.patients import rules as patient_rules
from modules.kernel.patients import service
from modules.kernel.patients.service import access, concealing
from modules.kernel.stock import rules as stock_rules
from modules.kernel.stock.service import sheet_codes
from modules.outpatient_pharmacy import rules as pharmacy_rules
from modules.outpatient_pharmacy.service import codes as tracecodes
from modules.outpatient_pharmacy.service import dispensing
from tests.compliance.breaking import (
    Break,
    accepted,
    always,
    answers,
    both,
    commanded,
    default_account,
    few_paths,
    few_roles,
    few_samples,
    file_in,
    growing,
    known,
    lying,
    narrow_column,
    narrowed,
    never_late,
    own_consent,
    passing,
    plain_index,
    planted,
    planted_default,
    put,
    raised,
    retold,
    settings,
    short_restore,
    slow,
    tapped,
    texts,
    twice,
    unaudited,
    without,
)

CONTROLS: list[tuple[str, str, Break]] = [
    ("MP-01", "a digest of zeros", lying(sm3=always(bytes(32)))),
    ("MP-01", "a self-test that fails", commanded(1, "wrong")),
    (
        "MP-02",
        "s before r",
        lying(
            sm2_sign=lambda private, data, *uid: (
                (signature := get_provider("openssl").sm2_sign(private, data, *uid))[32:] + signature[:32]
            )
        ),
    ),
    ("MP-02", "an empty id passes for the default one", lying(sm2_verify=always(True))),
    ("MP-05", "any signature proves", put(certificates, "proves", always(True))),
    (
        "MP-07",
        "protected facts aren't compared",
        both(put(integrity.Head, "check", always(None)), put(integrity, "row_holds", always(True))),
    ),
    ("MP-08", "altered decisions count", put(integrity, "holds", always(True))),
    ("PR-06", "names stay in lists", put(concealing, "conceal", always(None))),
    ("MP-11", "a nonce works twice", put(signin, "spend", always(True))),
    ("MP-12", "a phone number in a name", planted("department", "name", "{phone}")),
    ("MP-13", "a plain digest for an index", plain_index),
    ("MP-14", "verification finds nothing", put(seals, "verify_all", always([]))),
    ("MP-15", "any signature verifies", put(proof, "verify", always(proof.Verdict()))),
    ("MP-17", "software stands in for a lost device", commanded(0, "ok")),
    (
        "MP-18",
        "bytes of an even number of ones",
        both(few_samples, lying(random=lambda size: bytes((0x0F, 0x33, 0x55, 0x00)) * (size // 4))),
    ),
    ("DB-01", "names aren't folded", put(rules, "fold_login", lambda login: login)),
    ("DB-02", "every password will do", put(rules, "password_problems", always([]))),
    (
        "DB-03",
        "passwords don't expire",
        lambda house, patch: patch.setattr(house.app.extensions["his_security"], "password_expired", always(False)),
    ),
    ("DB-04", "guesses aren't counted", put(accounts, "take_attempt", always(True))),
    ("DB-05", "nobody is idle", settings(session_idle=10**9)),
    ("DB-06", "sessions survive", put(accounts, "end_sessions", always(0))),
    ("DB-08", "every code is right", put(accounts, "take_code", always(True))),
    (
        "DB-09",
        "permissions aren't asked for",
        both(few_roles, lambda house, patch: patch.setattr("his_server.actor.Actor.can", always(True))),
    ),
    ("DB-10", "denials aren't audited", unaudited("permission.denied")),
    ("DB-11", "a default account", default_account),
    ("DB-12", "accounts don't end", put(signin, "_usable", always(True))),
    ("DB-13", "one person may be two administrators", put(rules, "role_problem", always(None))),
    ("DB-15", "sign-out isn't audited", unaudited("session.sign_out")),
    ("DB-15", "refusals aren't audited", unaudited("request.refused")),
    ("DB-16", "a whole number in the trail", planted("security_audit", "detail", '{{"number": "{id_no}"}}')),
    ("DB-17", "verification finds nothing", put(seals, "verify", always([]))),
    (
        "DB-18",
        "thirty days are enough",
        both(put(archive, "check_days", always(None)), put(security_settings, "check_days", always(None))),
    ),
    ("DB-19", "business goes on without audit", unaudited("patient.view", "patient.edit", "patient.refused")),
    ("DB-25", "a damaged backup passes", passing("backup", "verify")),
    ("DB-25", "a table comes back short", short_restore),
    ("DB-27", "answers may be cached", without("cache-control")),
    ("DB-31", "lines of no form", lambda house, patch: patch.setattr(syslog, "lines", lambda session, after: [(1, "<13>hello")])),
    ("PR-01", "numbers aren't masked", put(patient_rules, "mask_number", lambda number: number)),
    ("PR-02", "nobody is refused", put(access, "_refusal", always(None))),
    ("PR-03", "looking isn't audited", unaudited("patient.view")),
    ("PR-03", "nobody is taken for one of the staff", put(colleagues, "staff_files", always({}))),
    ("PR-04", "nobody is refused", put(access, "_refusal", always(None))),
    ("PR-05", "trainees stay for ever", put(rules, "end_date_problem", always(None))),
    ("PR-06", "nobody is refused", put(access, "_refusal", always(None))),
    (
        "PR-09",
        "one's own consent is enough",
        lambda house, patch: patch.setattr(statistics, "decide", own_consent(statistics.decide)),
    ),
    ("PR-12", "the pseudonym is the person's number", put(discipline_cli, "_namer", always(lambda kind, number: str(number)))),
    (
        "PR-10",
        "former values aren't shown",
        answers(
            lambda method, path, answer: (
                replace(answer, body=answer.body.replace("旧单位".encode(), b"")) if path.endswith("/timeline") else answer
            )
        ),
    ),
    (
        "MR-03",
        "old screens overwrite",
        answers(lambda method, path, answer: replace(answer, status=200) if method == "PUT" and answer.status == 409 else answer),
    ),
    (
        "HS-08",
        "one number, two files",
        answers(
            lambda method, path, answer: (
                replace(answer, status=201, body=b'{"id": 1}')
                if (method, path) == ("POST", "/api/patients") and answer.status >= 400
                else answer
            )
        ),
    ),
    ("RU-09", "no trace id comes back", without("x-request-id")),
    (
        "MP-03",
        "one nonce for all",
        lambda house, patch: patch.setattr(
            house.db.sealer.provider, "random", lambda size: bytes(size) if size == 12 else os.urandom(size)
        ),
    ),
    ("MP-04", "a foreign digest in a source", file_in("app/his_server/bad.py", "import hashlib\nx = hashlib.md5(b'')\n")),
    ("MP-04", "a foreign digest in a column", planted("department", "name", "d41d8cd98f00b204e9800998ecf8427e")),
    ("MP-06", "a quick verifier", planted("security_user", "password", "pbkdf2-sm3$100$" + "ab" * 16 + "$" + "cd" * 32)),
    (
        "MP-06",
        "a password in clear",
        lambda house, patch: patch.setattr(
            passwords, "make", lambda sealer, user, password, rounds: f"plain${rounds}${password}$x"
        ),
    ),
    (
        "MP-12",
        "an address in a log",
        both(known, file_in("data/his.log", lambda house: house.target.markers["home_detail"].encode())),
    ),
    (
        "MP-16",
        "the master key in a second file",
        file_in("data/copy.txt", lambda house: (house.folder / "data" / "keys" / "master.key").read_bytes()),
    ),
    ("MP-16", "a private key in clear", file_in("data/key.pem", "-----BEGIN PRIVATE KEY-----\nx\n")),
    ("MP-19", "altered files aren't told", put(startup, "compare", always([]))),
    ("MP-19", "a file too many", file_in("app/crypto/extra.py", "x = 1\n")),
    ("PR-07", "a large export needs nobody's approval", put(exports, "approval", always(None))),
    ("PR-07", "anybody exports", lambda house, patch: patch.setattr("his_server.actor.Actor.can", always(True))),
    (
        "RU-01",
        "another version in the document",
        lambda house, patch: house.target.__dict__.update(openapi={**house.target.openapi, "info": {"version": "9.9"}}),
    ),
    ("XC-13", "a part that isn't listed", file_in("app/sbom.json", '{"components": [{"name": "Flask", "version": "1"}]}')),
    ("XC-13", "a program that isn't the one of the list", file_in("app/crypto/added.py", "x = 1\n")),
    ("XC-14", "a component under another licence", put(program, "_licence", always("GPL-3.0-only"))),
    ("MP-10", "a password on the wire", tapped),
    (
        "DB-20",
        "a debugger is open",
        answers(
            lambda method, path, answer: (
                replace(answer, status=200, body=b"<title>Werkzeug Debugger</title>") if path == "/console" else answer
            )
        ),
    ),
    ("DB-20", "a port that isn't declared", put(doors, "sockets", always({"tcp 127.0.0.1:80", "tcp 0.0.0.0:9999"}))),
    (
        "DB-21",
        "a route breaks on bad input",
        both(
            few_paths,
            answers(
                lambda method, path, answer: replace(answer, status=500) if path.startswith("/api/patients/merge") else answer
            ),
        ),
    ),
    (
        "DB-21",
        "a stack trace is shown",
        both(
            few_paths,
            answers(
                lambda method, path, answer: (
                    replace(answer, body=b'Traceback (most recent call last): File "/opt/x.py", line 3, in f')
                    if answer.status == 422
                    else answer
                )
            ),
        ),
    ),
    ("DB-28", "a nationality nobody said", planted_default),
    ("DB-28", "a column that isn't in the catalogue", put(inputs, "personal_data", always({"whole": ["person"], "item": []}))),
    ("DB-30", "a repeated submission is done again", twice),
    ("RU-02", "a function that no case proves", file_in("app/modules/kernel/bad.py", '"""x\n\nImplements: Z9.9\n"""\n')),
    ("RU-03", "a slow product", slow),
    (
        "PR-13",
        "an interface that lists nothing",
        both(
            file_in("app/interfaces/lis/manifest.toml", 'id = "H7"\nowner = "x"\ndirection = "outbound"\n'),
            file_in("app/interfaces/lis/contract.py", "patient = 1\n"),
        ),
    ),
    (
        "XC-03",
        "a library of another machine",
        file_in("app/lib.so", b"\x7fELF\x02\x01\x01" + bytes(11) + (8).to_bytes(2, "little")),
    ),
    ("XC-04", "a foreign driver", file_in("app/his_server/bad.py", "import cx_Oracle\n")),
    (
        "XC-04",
        "a page loads from outside",
        file_in("app/his_server/web/dist/x.html", '<script src="https://cdn.example.com/x.js"></script>'),
    ),
    ("XC-08", "new syntax", file_in("app/his_server/web/dist/x.js", "let a; a ??= 1;\n")),
    (
        "XC-10",
        "masks cut through a character",
        put(patient_rules, "mask_name", lambda name: name.encode("gbk", "replace").decode("gbk")[:1] + "*"),
    ),
    ("XC-10", "another encoding on the way", put(service, "create_person", narrowed(service.create_person))),
    (
        "XC-11",
        "private code points pass",
        answers(
            lambda method, path, answer: (
                replace(answer, status=201) if (method, path, answer.status) == ("POST", "/api/patients", 422) else answer
            )
        ),
    ),
    ("XC-12", "a narrow column", narrow_column),
    ("XC-15", "a font without a common character", put(reporting, "glyph_missing", always(["龙"]))),
    ("HS-01", "check digits aren't looked at", put(patient_rules, "_check_18", always(None))),
    (
        "HS-02",
        "former regions are refused",
        answers(lambda method, path, answer: replace(answer, status=422) if method == "PUT" else answer),
    ),
    (
        "HS-03",
        "any number under any certificate",
        put(patient_rules, "_resident", lambda plain, today: patient_rules.IdFacts(plain)),
    ),
    ("HS-04", "another code for a sex", planted("dictionary_entry", "code", "8", dictionary="sex", code="9")),
    ("HS-05", "another name for a people", planted("dictionary_entry", "name", "满满", dictionary="ethnic", code="12")),
    (
        "HS-06",
        "a former region is offered",
        answers(
            lambda method, path, answer: (
                replace(answer, body=answer.body.replace(b'"320613"', b'"320611"')) if "/regions" in path else answer
            )
        ),
    ),
    (
        "HS-07",
        "two kinds of certificate swapped",
        planted("dictionary_entry", "name", "港澳台居民居住证", dictionary="psn_cert_type", code="16"),
    ),
    ("RX-02", "a month without a reason", put(order_rules, "MAX_DAYS", 60)),
    ("RX-06", "six drugs on one prescription", put(order_rules, "MAX_DRUGS", 60)),
    ("RX-03", "ninety days", put(order_rules, "LONG_DAYS_MOST", 90)),
    ("RX-04", "no drug is a narcotic", put(order_rules, "NARCOTIC", frozenset())),
    ("RX-05", "nine days of poison", put(order_rules, "TOXIC_DAYS", 9)),
    ("RX-08", "everybody has every right", put(order_rules, "antimicrobial_level", always(3))),
    ("RX-08", "nothing is overdue", put(order_queries, "overrides", never_late(order_queries.overrides))),
    ("RX-11", "nothing is refused", put(prescribing, "_refuse_unlawful", always(None))),
    ("RX-01", "a prescription holds for ever", put(following, "today", always(date(2000, 1, 1)))),
    ("RX-07", "paper may go at once", put(pharmacy_rules, "KEEP_YEARS", dict.fromkeys(pharmacy_rules.KEEP_YEARS, 0))),
    ("RX-10", "nothing is warned of", put(order_rules, "check_drugs", always([]))),
    ("RX-09", "one pharmacist is enough", put(dispensing, "_four_eyes", always(None))),
    ("RX-09", "a narcotic's lots are merged", put(stock_rules, "UNMERGEABLE", frozenset())),
    ("TC-01", "anything is a code", put(stock_rules, "code_error", always(None))),
    ("TC-02", "a code is sold twice", accepted("/dispense")),
    ("TC-03", "nobody asks for a code", put(tracecodes, "insured", always(False))),
    ("TC-04", "codes don't come back", put(tracecodes, "take_back", always(None))),
    ("TC-05", "a pack never gets empty", accepted("/dispense")),
    ("TC-07", "a lost pack is sold", accepted("/dispense")),
    ("TC-07", "a count leaves the codes where they were", put(sheet_codes, "missing", always({}))),
    ("FN-10", "a decision is made twice", accepted("/decide")),
    ("FN-12", "a shift is received twice", accepted("/hand-over")),
    (
        "RX-12",
        "both are told that they succeeded",
        answers(lambda method, path, answer: replace(answer, status=200) if path.endswith("/dispense") else answer),
    ),
    (
        "FN-04",
        "more goes back than was paid",
        answers(
            lambda method, path, answer: (
                replace(answer, status=201) if path.endswith("/refunds") and answer.status == 409 else answer
            )
        ),
    ),
    ("FN-06", "a bill of nothing has no voucher", retold("/settlements/", receipts=[])),
    ("FN-11", "anybody pays out in cash", lambda house, patch: patch.setattr("his_server.actor.Actor.can", always(True))),
    ("GR-01", "handed out before it was ordered", retold("/api/outpatient-pharmacy/", dispensed_at="2000-01-01T00:00:00+00:00")),
    ("FN-16", "a line dearer than its price", raised("charge_line", "price", kind="item", reverses_line_id=None)),
    (
        "FN-19",
        "a settled line can be deleted",
        answers(lambda method, path, answer: replace(answer, status=204) if method == "DELETE" else answer),
    ),
    ("DB-22", "a source that unpickles", file_in("app/crypto/bad.py", "import pickle\npickle.loads(b'')\n")),
    ("DB-22", "a statement put together", file_in("app/crypto/bad.py", "x.execute(f'select {y}')\n")),
    ("YB-01", "a fund that doesn't add up", raised("insurance_claim", "fund")),
    ("YB-02", "a lost answer is taken for a no", put(asking, "settlement", always(Settlement(REFUSED)))),
    ("YB-03", "differences aren't written down", put(comparing, "_keep", always(None))),
    ("YB-04", "any code is assigned", accepted("/mappings")),
    (
        "YB-05",
        "any signature holds",
        lambda house, patch: patch.setattr(house.db.sealer.provider, "sm2_verify", always(True)),
    ),
    ("YB-06", "the ways of a refund aren't shown", retold("/settlements/", payments=[])),
    ("YB-09", "one registration is renewed twice", accepted("/renewals")),
    ("TC-06", "nothing is sent again", both(put(insurance, "UPLOAD_SECONDS", 3), put(subscriptions, "send", always(False)))),
    ("FN-14", "statements aren't compared", put(reconciling, "compare", always(set()))),
    ("RU-04", "memory grows by the round", lambda house, patch: patch.setattr(running, "resident", growing(2**30))),
    ("RU-05", "a taken port isn't told", commanded(0, "ok")),
    (
        "YB-08",
        "a route that takes deposits",
        lambda house, patch: house.target.__dict__.update(
            openapi={
                **house.target.openapi,
                "paths": {**house.target.openapi["paths"], "/api/x/deposits": {"post": {"x-permission": "x"}}},
            }
        ),
    ),
    ("FN-01", "a float in the ledger", file_in("app/modules/kernel/charging/bad.py", "TAX = 0.1\n")),
    ("FN-02", "a line a fen off", raised("charge_line", "amount")),
    ("FN-03", "a payment a fen off", raised("payment", "amount")),
    ("FN-05", "a rounding of a whole bill", planted("payment", "method", "rounding", method="cash")),
    ("FN-07", "numbers that vanished", raised("number_range", "next", by=5, series="receipt")),
    ("FN-08", "a code of seven digits", planted("electronic_invoice", "code", "3206012")),
    ("FN-09", "a red receipt of another amount", raised("receipt", "amount", colour="red")),
    ("FN-09", "a red receipt of nothing", planted("receipt", "reverses_receipt_id", "999999999", colour="red")),
    (
        "FN-10",
        "one role asks and approves",
        lambda house, patch: house.target.__dict__.update(
            roles={
                **house.target.roles,
                "cashier": {
                    **house.target.roles["cashier"],
                    "permissions": {*house.target.roles["cashier"]["permissions"], "charging.approve_refund"},
                },
            }
        ),
    ),
    ("FN-12", "a settlement outside of every shift", planted("settlement", "shift_id", "999999999")),
    ("FN-13", "a total a fen off", raised("settlement", "total")),
    ("FN-15", "a repeated submission is done again", twice),
    ("FN-17", "stock that came from nowhere", raised("stock_balance", "on_hand")),
    ("FN-18", "amounts exported as text", put(reporting, "to_xlsx", texts)),
]
