"""The resources of the read views, version 1. Additive changes only; what each field means is its description, from which
the OpenAPI document and docs/interfaces/read_views.md come."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Day, Text

MOST = 500


def _told(text: str) -> dict[str, str]:
    return {"description": text}


class PageQuery(Schema):
    """``changed_since``: the ``version`` of an earlier answer; without it everything that is there now."""

    limit = fields.Integer(load_default=200, validate=validate.Range(1, MOST, error=f"每页 1 至 {MOST} 行"))
    cursor = Text(max=400, load_default=None)
    changed_since = fields.Integer(load_default=None, validate=validate.Range(0, 2**53 - 1, error="版本号有误"))


class _Item(Schema):
    deleted = fields.Boolean(metadata=_told("已不再提供（停用、撤销）为 true；只在按 changed_since 取变化时出现"))


class Department(_Item):
    """A department."""

    code = fields.String(metadata=_told("科室代码，永不改变"))
    name = fields.String(metadata=_told("科室名称"))
    kind = fields.String(metadata=_told("临床、医技、药房、行政、收费"))
    parent_code = fields.String(allow_none=True, metadata=_told("上级科室代码"))
    outpatient = fields.Boolean(metadata=_told("门诊科室"))
    emergency = fields.Boolean(metadata=_told("急诊科室"))
    building = fields.String(metadata=_told("所在楼宇"))


class Staff(_Item):
    """A member of staff."""

    code = fields.String(metadata=_told("工号，永不改变"))
    name = fields.String(metadata=_told("姓名"))
    department_code = fields.String(metadata=_told("所属科室代码"))
    title = fields.String(metadata=_told("职称"))
    role = fields.String(metadata=_told("岗位"))


class Schedule(_Item):
    """A doctor's half day."""

    code = fields.String(metadata=_told("出诊编号"))
    day = Day(metadata=_told("日期"))
    period = fields.String(metadata=_told("上午、下午、夜间、全天"))
    department_code = fields.String(metadata=_told("科室代码"))
    doctor_code = fields.String(allow_none=True, metadata=_told("医生工号；普通号可为空"))
    level = fields.String(metadata=_told("号别"))
    state = fields.String(metadata=_told("open 出诊，stopped 停诊"))


class Slots(_Item):
    """How many slots of a half day are left."""

    code = fields.String(metadata=_told("出诊编号"))
    day = Day(metadata=_told("日期"))
    total = fields.Integer(metadata=_told("号源总数（含加号）"))
    remaining = fields.Integer(metadata=_told("剩余号数；停诊为 0"))


class DrugNotice(_Item):
    """A notice of the drug warehouse to doctors that is in force: a shortage, or a drug that may not be prescribed."""

    code = fields.String(metadata=_told("通知号"))
    kind = fields.String(metadata=_told("shortage 缺药，prohibition 禁药（不得开具）"))
    drug_code = fields.String(metadata=_told("药品代码"))
    drug_name = fields.String(metadata=_told("药品名称"))
    spec = fields.String(metadata=_told("规格"))
    reason = fields.String(metadata=_told("原因"))
    substitute = fields.String(metadata=_told("可替代药品；没有为空"))
    valid_from = Day(metadata=_told("起始日期"))
    valid_to = Day(allow_none=True, metadata=_told("截止日期（含当日）；null 为撤回前一直有效"))


def _page(item: type[Schema]) -> type[Schema]:
    return Schema.from_dict({
        "items": fields.List(fields.Nested(item)),
        "next": fields.String(allow_none=True, metadata=_told("下一页的 cursor；null 为最后一页")),
        "version": fields.Integer(metadata=_told("本次所见的版本，下次作 changed_since")),
    }, name=f"{item.__name__}Feed")


DepartmentFeed, StaffFeed, ScheduleFeed, SlotsFeed, DrugNoticeFeed = (
    _page(item) for item in (Department, Staff, Schedule, Slots, DrugNotice))
