"""The prepared search finds what the built one finds, in the same order."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from his_server.actor import SYSTEM
from his_server.search import match, matching
from modules.kernel.patients import service as patients
from modules.kernel.patients.models import person_search
from tests.factories.people import load_basics


@pytest.mark.requirement("M7.4")
def test_prepared_and_built_agree(session: Session) -> None:
    load_basics(session)
    for name in ("单文渊", "曾小明", "𠮷野家明", "张三", "张小三", "章明"):
        patients.create_person(session, SYSTEM, name=name, confirmed=True)
    for query in ("z", "zxm", "张", "小", "sw", "shan", "明", "cxm", "没有", "x" * 70):
        for kinds in (None, {"name"}, {"pinyin", "initials"}):
            built = list(session.scalars(match(session, person_search, query, limit=5, kinds=kinds)))
            assert matching(session, person_search, query, limit=5, kinds=kinds) == built
