"""What a refusal's field errors say on the screen: the row and the field by name."""

from __future__ import annotations

import pytest

from tests.web.test_arithmetic import run


@pytest.mark.requirement("M1.16")
def test_a_field_error_names_its_row_and_field() -> None:
    said = {("lines.2.quantity", "应为数字"): "第 3 行 数量：应为数字", ("reason", "至少 2 个字"): "原因：至少 2 个字",
            ("rows.3.balance", "余额应大于 0"): "第 3 行：余额应大于 0", ("capacity", "号数应为 1 至 500"): "号数应为 1 至 500",
            ("lines.918273645.quantity", "最多 2"): "数量：最多 2", ("payments.0.covers", "必填"): "第 1 行 金额：必填",
            ("lines.0", "没有这个项目"): "第 1 行：没有这个项目", ("unheard_of", "有误"): "有误"}
    calls = [("namedError", [{"field": field, "message": message}]) for field, message in said]
    assert run("fields.ts", calls) == [*said.values()]
