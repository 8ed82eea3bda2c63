"""Dispensing: which store and window hands out what was paid, and what comes back."""

from his_server.module import Check, Module
from modules.kernel.dispensing import queries

module = Module(
    name="kernel.dispensing",
    title="调剂",
    checks=(
        Check("dispensing.once", "每张处方每次结算只有一张调剂单", queries.tasks_are_unique),
        Check("dispensing.returns", "退药单：已退费数量不超过已收回数量", queries.returns_refunded_at_most),
    ),
)
