"""Routes of the insurance office: statements, differences, failures, catalogue mapping."""

from __future__ import annotations

from typing import Any

from his_server.db import today
from his_server.http import Call, Routes
from modules.insurance_office import queries, schemas, service
from modules.insurance_office.models import Difference
from modules.kernel.masterdata.models import InsuranceMapping

routes = Routes("insurance_office", "/api/insurance-office", tag="insurance_office")
STATEMENTS = "insurance_office.statements"
APPROVE = "insurance_office.approve_reversal"
FAILURES = "insurance_office.failures"
MAPPINGS = "insurance_office.mappings"


# Statements


@routes.get("/statements", permission=STATEMENTS, query=schemas.StatementsQuery, out=schemas.StatementsOut)
def statements(call: Call) -> dict[str, Any]:
    """医保日、月对账单列表"""
    return queries.statements(call.session, **call.query)


@routes.get("/statements/<int:statement_id>", permission=STATEMENTS, out=schemas.StatementDetailOut)
def statement(call: Call, statement_id: int) -> dict[str, Any]:
    """对账单及差异"""
    return queries.statement(call.session, statement_id)


@routes.post("/statements", permission=STATEMENTS, body=schemas.BuildIn, out=schemas.BuiltOut, value=True, status=201)
def build(call: Call) -> dict[str, Any]:
    """按账生成日（月）对账单草稿"""
    make = service.build_month if call.body["monthly"] else service.build_day
    return {"ids": [made.id for made in make(call.session, call.actor, call.body["day"])]}


def _shown(call: Call, statement_id: int) -> dict[str, Any]:
    with call.database.begin(write=False) as session:
        return queries.statement(session, statement_id)


def _act(call: Call, statement_id: int, act: str) -> dict[str, Any]:
    call.begin(lambda session: service.open_act(session, call.actor, statement_id, act))
    if not call.again:
        service.act(call.database, call.actor, statement_id, act)
    return _shown(call, statement_id)


@routes.post("/statements/<int:statement_id>/upload", permission=STATEMENTS, out=schemas.StatementDetailOut, effect="steps")
def upload(call: Call, statement_id: int) -> dict[str, Any]:
    """上传对账单"""
    return _act(call, statement_id, "upload")


@routes.post("/statements/<int:statement_id>/compare", permission=STATEMENTS, out=schemas.StatementDetailOut, effect="manual")
def compare(call: Call, statement_id: int) -> dict[str, Any]:
    """与医保中心对账（总账 3201，不平再对明细 3202）"""
    service.compare(call.database, call.actor, statement_id)
    return _shown(call, statement_id)


@routes.post("/statements/<int:statement_id>/confirm", permission=STATEMENTS, out=schemas.StatementDetailOut, effect="steps")
def confirm(call: Call, statement_id: int) -> dict[str, Any]:
    """确认对账单（不可撤回）"""
    return _act(call, statement_id, "confirm")


@routes.post("/statements/<int:statement_id>/delete", permission=STATEMENTS, out=schemas.StatementDetailOut, effect="steps")
def delete(call: Call, statement_id: int) -> dict[str, Any]:
    """删除已上传、未确认的对账单"""
    return _act(call, statement_id, "delete")


@routes.post("/statements/<int:statement_id>/query", permission=STATEMENTS, out=schemas.StatementDetailOut, effect="manual")
def query(call: Call, statement_id: int) -> dict[str, Any]:
    """查询没有应答的上传、删除、确认"""
    service.query(call.database, call.actor, statement_id)
    return _shown(call, statement_id)


# Differences


@routes.get("/differences", permission=STATEMENTS, query=schemas.DifferencesQuery, out=schemas.DifferencesOut)
def differences(call: Call) -> dict[str, Any]:
    """对账差异清单"""
    return queries.differences(call.session, **call.query)


@routes.get("/reversals", permission=APPROVE, query=schemas.DifferencesQuery, out=schemas.DifferencesOut)
def reversals(call: Call) -> dict[str, Any]:
    """待审批的冲正"""
    return queries.differences(call.session, **call.query)


@routes.post("/differences/<int:difference_id>/propose", permission=STATEMENTS, body=schemas.ReasonIn,
             out=schemas.DifferenceDoneOut)
def propose(call: Call, difference_id: int) -> Difference:
    """申请冲正中心多出的结算（须他人审批）"""
    return service.propose(call.session, call.actor, difference_id, **call.body)


@routes.post("/differences/<int:difference_id>/approve", permission=APPROVE, out=schemas.DifferenceDoneOut, effect="steps")
def approve(call: Call, difference_id: int) -> Difference:
    """同意冲正：先查询再冲正（2601），重复执行不会重复冲正"""
    call.begin(lambda session: service.open_approval(session, call.actor, difference_id).id)
    return service.approve(call.database, call.actor, difference_id)


@routes.post("/differences/<int:difference_id>/decline", permission=APPROVE, body=schemas.ReasonIn,
             out=schemas.DifferenceDoneOut)
def decline(call: Call, difference_id: int) -> Difference:
    """不同意冲正"""
    return service.decline(call.session, call.actor, difference_id, **call.body)


@routes.post("/differences/<int:difference_id>/resolve", permission=STATEMENTS, body=schemas.ReasonIn,
             out=schemas.DifferenceDoneOut)
def resolve(call: Call, difference_id: int) -> Difference:
    """登记差异处理结果"""
    return service.resolve(call.session, call.actor, difference_id, **call.body)


# Failures


@routes.get("/failures", permission=FAILURES, query=schemas.FailuresQuery, out=schemas.FailuresOut)
def failures(call: Call) -> dict[str, Any]:
    """医保上传、预结算失败日报"""
    query = dict(call.query)
    query["end"] = query["end"] or query["day"]
    return queries.failures(call.session, **query)


@routes.post("/failures/<int:intent_id>/retry", permission=FAILURES, out=schemas.RetriedOut, effect="manual")
def retry(call: Call, intent_id: int) -> dict[str, Any]:
    """重试：未明的再查询，被拒绝的预结算再试算"""
    return service.retry(call.database, call.actor, intent_id)


# Catalogue mapping


@routes.get("/mappings", permission=MAPPINGS, query=schemas.MappingsQuery, out=schemas.MappingsOut)
def mappings(call: Call) -> dict[str, Any]:
    """医保目录对照"""
    return queries.mappings(call.session, on=today(call.session), **call.query)


@routes.get("/catalogue", permission=MAPPINGS, query=schemas.EntriesQuery, out=schemas.EntriesOut)
def entries(call: Call) -> dict[str, Any]:
    """查找医保目录"""
    return {"items": queries.entries(call.session, search=call.query["q"], list_type=call.query["list_type"])}


@routes.post("/mappings", permission=MAPPINGS, body=schemas.AssignIn, out=schemas.AssignedOut, value=True, status=201)
def assign(call: Call) -> Any:
    """对照到医保目录"""
    return service.assign(call.session, call.actor, **call.body)


@routes.post("/mappings/upload", permission=MAPPINGS, body=schemas.UploadMappingsIn, out=schemas.UploadedOut, effect="manual")
def upload_mappings(call: Call) -> dict[str, int]:
    """上传目录对照（3301）"""
    return service.upload_mappings(call.database, call.actor, call.body["ids"])


@routes.post("/mappings/<int:mapping_id>/withdraw", permission=MAPPINGS, out=schemas.AssignedOut, effect="steps")
def withdraw_mapping(call: Call, mapping_id: int) -> Any:
    """撤销目录对照（3302）"""
    call.begin(lambda session, _: service.withdraw_mapping(session, call.actor, mapping_id).id,
               lambda: service.unmap(call.database, mapping_id))
    with call.database.begin(write=False) as session:
        found = session.get_one(InsuranceMapping, mapping_id)
        session.expunge(found)
        return found


@routes.post("/catalogue/refresh", permission=MAPPINGS, body=schemas.CatalogueIn, out=schemas.FetchedOut, effect="manual")
def refresh_catalogue(call: Call) -> dict[str, int]:
    """下载医保目录更新"""
    return {"entries": service.refresh_catalogue(call.database, call.actor, call.body["list_type"])}
