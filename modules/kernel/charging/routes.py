"""Routes of insurance, calls outside that nobody answered, and electronic invoices. The same for every channel."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app
from sqlalchemy import select

from his_server.http import Call, Routes
from modules.kernel.charging import queries, schemas
from modules.kernel.charging.models import InvoiceDifference, Receipt, RefundCase, Settlement
from modules.kernel.charging.schemas import papers as papers_wire
from modules.kernel.charging.service import (
    Returns,
    Settled,
    deposits,
    insured,
    insured_refunds,
    intents,
    invoice_checks,
    invoices,
    members,
    mobile,
    papers,
    payments,
)
from modules.kernel.charging.settings import approval_from
from modules.kernel.patients.queries import briefs
from modules.kernel.patients.rules import mask_name, mask_number

routes = Routes("kernel.charging", "/api/charging", tag="charging")
INSURE, REFUND_INSURED = "charging.insure", "charging.refund_insured"
WORKLIST, DECIDE = "charging.worklist", "charging.decide"
CHECK_INVOICES = "charging.check_invoices"
INVOICES, DEPOSITS = "charging.invoices", "charging.clear_deposits"


def _to_jiao() -> bool:
    return bool(current_app.extensions["his_settings"].cash_to_jiao)


@routes.get("/channels", permission=INSURE, out=schemas.ChannelsOut)
def channels(call: Call) -> dict[str, Any]:
    """已开通的支付渠道"""
    return {"items": [{"code": code, "name": name} for code, name in payments.open_channels(call.database)],
            "insurance": "insurance" in call.database.ports}


@routes.post("/insurance/identify", permission=INSURE, body=schemas.CredentialIn, out=schemas.IdentifiedOut,
             effect="manual")
def identify(call: Call) -> dict[str, Any]:
    """读医保卡、电子凭证：查参保信息并找到已有档案"""
    member = insured.identify(call.database, schemas.credential_of(call.body), call.body["name"])
    with call.database.begin() as session:
        session.info["actor"] = call.actor
        found = members.find(session, call.actor, member)
        return {"name": mask_name(member.name), "masked_id": mask_number(member.id_no),
                "insurances": member.insurances, "items": briefs(session, call.actor, found.persons),
                "linked": found.linked, "form": found.form}


@routes.post("/insurance/link", permission=INSURE, body=schemas.LinkIn, effect="manual")
def link(call: Call) -> dict[str, Any]:
    """把医保身份关联到病人档案"""
    given = call.body["credential"]
    member = insured.identify(call.database, schemas.credential_of(given), given["name"])
    with call.database.begin() as session:
        session.info["actor"] = call.actor
        members.link(session, call.actor, call.body["person_id"], member)
    return {"linked": True}


@routes.post("/insurance/claims", permission=INSURE, body=schemas.PreviewIn, out=schemas.ClaimOut, effect="manual",
             status=201)
def preview(call: Call) -> dict[str, Any]:
    """医保预结算"""
    body = call.body
    credential = schemas.credential_of(body["credential"])
    member = insured.identify(call.database, credential, body["credential"]["name"])
    with call.database.begin(write=False) as session:
        members.check(session, body["person_id"], member)
    claim = insured.preview(call.database, call.actor, person_id=body["person_id"], line_ids=body["line_ids"],
                            credential=credential, member=member, insurance=body["insurance"],
                            use_account=body["use_account"])
    return _claim(call, claim.id)


@routes.get("/insurance/claims/<int:claim_id>", permission=INSURE, out=schemas.ClaimOut, effect="manual")
def claim_state(call: Call, claim_id: int) -> dict[str, Any]:
    """医保结算进展"""
    return _claim(call, claim_id)


@routes.post("/insurance/claims/<int:claim_id>/settle", permission=INSURE, body=schemas.SettleClaimIn,
             out=schemas.ClaimOut, effect="manual")
def settle(call: Call, claim_id: int) -> dict[str, Any]:
    """医保结算并收取个人部分（重复提交不会重复结算）"""
    _, settled = insured.settle(call.database, call.actor, claim_id,
                                credential=schemas.credential_of(call.body["credential"]),
                                payments=schemas.pays(call.body["payments"]), to_jiao=_to_jiao())
    return _claim(call, claim_id, settled)


@routes.post("/insurance/claims/<int:claim_id>/query", permission=INSURE, out=schemas.ClaimOut, effect="manual")
def query_claim(call: Call, claim_id: int) -> dict[str, Any]:
    """查询未明的医保结算，有结果即办完"""
    _, intent = insured.load(call.database, claim_id)
    intents.ask(call.database, call.actor, intent.id)
    _, settled = insured.go_on(call.database, call.actor, claim_id)
    return _claim(call, claim_id, settled)


@routes.post("/insurance/claims/<int:claim_id>/withdraw", permission=INSURE, out=schemas.ClaimOut, effect="manual")
def withdraw(call: Call, claim_id: int) -> dict[str, Any]:
    """撤回医保预结算（改自费等）"""
    insured.withdraw(call.database, call.actor, claim_id)
    return _claim(call, claim_id)


def _claim(call: Call, claim_id: int, settled: Settled | None = None) -> dict[str, Any]:
    with call.database.begin(write=False) as session:
        claim, intent = queries.claim(session, claim_id)
        number = session.scalar(select(Settlement.number).where(Settlement.id == claim.settlement_id))
        receipts = list(session.scalars(select(Receipt.number).where(Receipt.settlement_id == claim.settlement_id)
                                        .order_by(Receipt.id))) if claim.settlement_id else []
        amounts = {name: getattr(claim, name) for name in insured.AMOUNTS}
    return {"id": claim.id, "state": intent.state, "message": intent.message, "number": intent.number,
            "insurance": claim.insurance, **amounts, "settlement_id": claim.settlement_id, "settlement_number": number,
            "receipt_numbers": receipts, "change": settled.change if settled else None}


# The insurer's mobile payment


@routes.post("/mobile/orders", permission=INSURE, body=schemas.MobileOfferIn, out=schemas.MobileOrderOut, effect="manual",
             status=201)
def offer_mobile(call: Call) -> mobile.Order:
    """发起医保移动支付：账单推到病人手机，病人在手机上支付（同样的费用重复提交是同一订单）"""
    body = call.body
    credential = schemas.credential_of(body["credential"])
    member = insured.identify(call.database, credential, body["credential"]["name"])
    with call.database.begin(write=False) as session:
        members.check(session, body["person_id"], member)
    return mobile.offer(call.database, call.actor, person_id=body["person_id"], line_ids=body["line_ids"], member=member,
                        token=credential.number, insurance=body["insurance"], use_account=body["use_account"])


@routes.get("/mobile/orders", permission=INSURE, query=schemas.MobileOrdersQuery, out=schemas.MobileOrdersOut)
def mobile_orders(call: Call) -> dict[str, Any]:
    """医保移动支付订单"""
    return queries.mobile_orders(call.session, **call.query)


@routes.post("/mobile/orders/<int:claim_id>/pay", permission=INSURE, body=schemas.MobilePayIn, out=schemas.ClaimOut,
             effect="manual")
def pay_mobile(call: Call, claim_id: int) -> dict[str, Any]:
    """凭病人的支付授权码支付订单（6202）"""
    _, settled = mobile.pay(call.database, call.actor, claim_id, call.body["authorisation"])
    return _claim(call, claim_id, settled)


@routes.post("/mobile/orders/<int:claim_id>/query", permission=INSURE, out=schemas.ClaimOut, effect="manual")
def query_mobile(call: Call, claim_id: int) -> dict[str, Any]:
    """查询订单结果，有结果即办完"""
    mobile.ask(call.database, call.actor, claim_id)
    return _claim(call, claim_id)


@routes.post("/mobile/orders/<int:claim_id>/withdraw", permission=INSURE, out=schemas.ClaimOut, effect="manual")
def withdraw_mobile(call: Call, claim_id: int) -> dict[str, Any]:
    """撤回未支付的订单（改在窗口缴费等）"""
    mobile.withdraw(call.database, call.actor, claim_id)
    return _claim(call, claim_id)


# Refunds of insured settlements


@routes.post("/insurance/refunds", permission=REFUND_INSURED, body=schemas.OpenCaseIn, out=schemas.CaseOut,
             effect="steps", status=201)
def refund_insured(call: Call) -> dict[str, Any]:
    """医保退费：先撤销医保结算，其余费用重新结算，个人部分原路退回"""
    body = call.body
    amounts = {row["payment_id"]: row["amount"] for row in body["returns"]}
    returns = Returns(amounts, frozenset(r["payment_id"] for r in body["returns"] if r["as_cash"])) if amounts else None
    case = call.begin(lambda session: insured_refunds.open_case(
        session, call.actor, body["settlement_id"], {r["line_id"]: r["quantity"] for r in body["lines"]},
        reason=body["reason"], returns=returns, approval_from=approval_from(), to_jiao=_to_jiao()).id)
    insured_refunds.advance(call.database, call.actor, case)
    return _case(call, case)


@routes.get("/insurance/refunds", permission=REFUND_INSURED, query=schemas.CaseQuery, out=schemas.CasesOut)
def cases(call: Call) -> dict[str, Any]:
    """一次结算的医保退费"""
    found = call.session.scalars(select(RefundCase.id).where(RefundCase.settlement_id == call.query["settlement_id"])
                                 .order_by(RefundCase.opened_at.desc(), RefundCase.id.desc()).limit(50))
    return {"items": [queries.case(call.session, key) for key in found]}


@routes.post("/insurance/refunds/<int:case_id>/continue", permission=REFUND_INSURED, out=schemas.CaseOut,
             effect="manual")
def go_on_with_refund(call: Call, case_id: int) -> dict[str, Any]:
    """继续办理未办完的医保退费"""
    insured_refunds.ask(call.database, call.actor, case_id)
    insured_refunds.advance(call.database, call.actor, case_id)
    return _case(call, case_id)


@routes.post("/insurance/refunds/<int:case_id>/collect", permission=REFUND_INSURED, body=schemas.CollectIn,
             out=schemas.CaseOut, effect="manual")
def collect(call: Call, case_id: int) -> dict[str, Any]:
    """补收差额现金并办完退费"""
    insured_refunds.advance(call.database, call.actor, case_id, collected=True, tendered=call.body["tendered"])
    return _case(call, case_id)


def _case(call: Call, case_id: int) -> dict[str, Any]:
    with call.database.begin(write=False) as session:
        return queries.case(session, case_id)


# The worklist of calls outside that nobody answered


@routes.get("/intents", permission=WORKLIST, query=schemas.WorklistQuery, out=schemas.WorklistOut)
def worklist(call: Call) -> dict[str, Any]:
    """未明往来：没有结果的支付、退款、医保、开票"""
    query = dict(call.query)
    owner = call.actor.user_id if query.pop("mine") else None
    return queries.worklist(call.session, owner_id=owner, **query)


@routes.get("/intents/<int:intent_id>", permission=WORKLIST, out=schemas.IntentDetailOut)
def intent(call: Call, intent_id: int) -> dict[str, Any]:
    """一笔往来的全部尝试"""
    return queries.intent(call.session, intent_id)


@routes.post("/intents/<int:intent_id>/query", permission=WORKLIST, out=schemas.IntentDetailOut, effect="manual")
def query_intent(call: Call, intent_id: int) -> dict[str, Any]:
    """向对方查询结果，有结果即办完"""
    intents.ask(call.database, call.actor, intent_id)
    intents.go_on(call.database, intent_id)
    return _intent(call, intent_id)


@routes.post("/intents/<int:intent_id>/take-over", permission=WORKLIST, out=schemas.IntentDetailOut)
def take_over(call: Call, intent_id: int) -> dict[str, Any]:
    """由我负责跟进"""
    intents.take_over(call.session, call.actor, intent_id)
    return queries.intent(call.session, intent_id)


@routes.post("/intents/<int:intent_id>/decide", permission=DECIDE, body=schemas.DecideIn, out=schemas.IntentDetailOut,
             effect="steps")
def decide(call: Call, intent_id: int) -> dict[str, Any]:
    """人工认定结果（须写明依据）"""
    call.begin(lambda session: intents.decide(session, call.actor, intent_id, **call.body).id)
    intents.go_on(call.database, intent_id)
    return _intent(call, intent_id)


def _intent(call: Call, intent_id: int) -> dict[str, Any]:
    with call.database.begin(write=False) as session:
        return queries.intent(session, intent_id)


# Electronic invoices


@routes.get("/invoices", permission=INVOICES, query=schemas.InvoicesQuery, out=schemas.InvoicesOut)
def list_invoices(call: Call) -> dict[str, Any]:
    """电子票据查询（病人、票号、收费员、日期、状态）"""
    return queries.invoices(call.session, **call.query)


@routes.get("/invoices/cashiers", permission=INVOICES, out=schemas.CashiersOut)
def invoice_cashiers(call: Call) -> dict[str, Any]:
    """收过费的收费员、渠道（按收费员查电子票据）"""
    return {"items": queries.cashiers(call.session)}


@routes.get("/invoices/<int:invoice_id>/image", permission=INVOICES, effect="manual")
def invoice_image(call: Call, invoice_id: int) -> Response:
    """电子票据图片（首次查看时向平台取，之后用缓存）"""
    return Response(invoices.image(call.database, invoice_id), mimetype="image/png")


@routes.post("/invoices/<int:invoice_id>/again", permission=INVOICES, effect="steps", status=204)
def issue_again(call: Call, invoice_id: int) -> None:
    """重开失败的电子票据"""
    call.begin(lambda session: invoices.again(session, call.actor, invoice_id).id)
    invoices.send(call.database, invoice_id, call.actor)


@routes.get("/invoices/<int:invoice_id>/papers", permission=INVOICES, out=papers_wire.PapersOut)
def invoice_papers(call: Call, invoice_id: int) -> dict[str, Any]:
    """一张电子票据换开的纸质票据"""
    return queries.papers(call.session, invoice_id)


@routes.post("/invoices/<int:invoice_id>/papers", permission=INVOICES, out=papers_wire.PaperOut, effect="steps", status=201)
def exchange_paper(call: Call, invoice_id: int) -> Any:
    """换开纸质票据"""
    paper = call.begin(lambda session, due: papers.open_exchange(session, call.actor, invoice_id, due).id,
                       lambda: papers.due(call.database, invoice_id))
    return papers.follow(call.database, paper) if call.again else papers.exchange(call.database, call.actor, paper)


@routes.post("/papers/<int:paper_id>/void", permission=INVOICES, body=papers_wire.VoidPaperIn, out=papers_wire.PaperOut,
             effect="steps")
def void_paper(call: Call, paper_id: int) -> Any:
    """收回并作废纸质票据（之后才能冲红）"""
    call.begin(lambda session: papers.open_void(session, call.actor, paper_id, call.body["reason"]).id)
    return papers.follow(call.database, paper_id) if call.again else papers.void(call.database, call.actor, paper_id)


@routes.get("/invoice-checks", permission=CHECK_INVOICES, query=papers_wire.ChecksQuery, out=papers_wire.ChecksOut)
def invoice_checks_list(call: Call) -> dict[str, Any]:
    """电子票据对账记录"""
    return queries.invoice_checks(call.session, **call.query)


@routes.post("/invoice-checks", permission=CHECK_INVOICES, body=papers_wire.CheckIn, effect="manual", status=204)
def check_invoices(call: Call) -> None:
    """对一天的电子票据与平台对账"""
    invoice_checks.check(call.database, call.actor, call.body["day"])


@routes.get("/invoice-differences", permission=CHECK_INVOICES, query=papers_wire.DifferencesQuery,
            out=papers_wire.DifferencesOut)
def invoice_differences(call: Call) -> dict[str, Any]:
    """电子票据对账差异，到每一张"""
    return queries.invoice_differences(call.session, **call.query)


@routes.post("/invoice-differences/<int:difference_id>/settle", permission=CHECK_INVOICES,
             body=papers_wire.SettleDifferenceIn, out=papers_wire.DifferenceOut, effect="steps")
def settle_difference(call: Call, difference_id: int) -> Any:
    """处理差异：写明核实结果，或向平台查询取回"""
    call.begin(lambda session, said: invoice_checks.settle(session, call.actor, difference_id, said).id,
               lambda: invoice_checks.finding(call.database, call.actor, difference_id, **call.body))
    with call.database.begin(write=False) as session:
        found = session.get_one(InvoiceDifference, difference_id)
        session.expunge(found)
        return found


# Outpatient deposits of the old system: none is ever taken here (R2)


@routes.get("/old-deposits", permission=DEPOSITS, query=schemas.DepositsQuery, out=schemas.DepositsOut)
def old_deposits(call: Call) -> dict[str, Any]:
    """门诊预交金遗留余额"""
    return queries.old_deposits(call.session, **call.query)


@routes.post("/old-deposits/<int:deposit_id>/clear", permission=DEPOSITS, body=schemas.ClearIn, value=True)
def clear_deposit(call: Call, deposit_id: int) -> dict[str, Any]:
    """清退门诊预交金余额"""
    cleared = deposits.clear(call.session, call.actor, deposit_id, **call.body)
    return {"id": cleared.id, "state": cleared.state}
