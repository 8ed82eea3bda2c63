"""Fixtures of the browser tests: the front end built, a server, a browser, people at their desks.

Without Chromium or Node the tests are skipped; ``HIS_REQUIRE_BROWSER=1`` makes that a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, sync_playwright
from sqlalchemy import select

from his_server.registry import Hospital
from his_server.search import search_keys, store_keys
from his_server.web import build
from modules.kernel.masterdata.models import Diagnosis, DictionaryEntry, diagnosis_search
from tests.browser.driving import CHROMIUM, FLAGS, Desk, House, new_context, open_house, sit_down
from tests.conftest import unavailable


@pytest.fixture(scope="session")
def _front_end() -> None:
    """The pages as they are now."""
    try:
        build.build()
    except build.BuildError as error:
        if "Node is missing" not in str(error):
            raise
        unavailable("Node", "HIS_REQUIRE_BROWSER")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    if not Path(CHROMIUM).exists():
        unavailable("Chromium", "HIS_REQUIRE_BROWSER")
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        except Error as error:
            unavailable(f"a working Chromium ({str(error)[:120]})", "HIS_REQUIRE_BROWSER")
            raise
        yield found
        found.close()


@pytest.fixture(scope="session")
def house(_front_end: None, browser: Browser, hospital: Hospital, _sqlite_template: Path,
          tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A hospital and its server; shared by the tests, so each brings its own patients and, for shifts, its cashier."""
    with open_house(tmp_path_factory.mktemp("house"), hospital, _sqlite_template) as opened:
        yield opened


@pytest.fixture(scope="session")
def diagnoses(house: House) -> None:
    """What a doctor chooses from."""
    with house.world.db.begin() as session:
        found = session.scalars(select(Diagnosis).where(Diagnosis.code == "J20.900")).one()  # the small hospital has it
        session.add(DictionaryEntry(dictionary="usage", code="口服", name="口服"))
        session.flush()
        store_keys(session, diagnosis_search, found.id, search_keys(found.name, person=False, code=found.code))


@pytest.fixture
def desk(house: House, browser: Browser) -> Iterator[Callable[[str | dict[str, str]], Desk]]:
    """``desk(login or cookie) -> Desk``: a workstation of its own; afterwards its console must be clean."""
    contexts: list[BrowserContext] = []
    desks: list[Desk] = []

    def sit(login: str | dict[str, str]) -> Desk:
        contexts.append(new_context(browser))
        desks.append(sit_down(contexts[-1], house.base, login))
        return desks[-1]

    yield sit
    for context in contexts:
        context.close()
    assert [problem for one in desks for problem in one.unexpected()] == []
