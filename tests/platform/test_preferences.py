"""A person's choices follow the person, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from his_server.preferences.models import MOST


def _put(client: FlaskClient, name: str, chosen: Any) -> Any:
    return client.put(f"/api/preferences/{name}", json={"chosen": chosen})


@pytest.mark.requirement("M7.6")
def test_a_choice_is_kept_changed_and_forgotten_for_its_person_only(sign_in: Callable[..., FlaskClient]) -> None:
    mine, other = sign_in("pharmacist"), sign_in("pharmacist")
    assert mine.get("/api/preferences").json == {"items": {}}
    assert _put(mine, "stock.categories", "09,11").json == {"items": {"stock.categories": "09,11"}}
    assert _put(mine, "stock.categories", "10").json == {"items": {"stock.categories": "10"}}
    assert other.get("/api/preferences").json == {"items": {}}
    assert _put(mine, "stock.categories", "").json == {"items": {}}


@pytest.mark.parametrize(("name", "chosen", "status"), [
    ("Stock", "x", 404), ("a" * 61, "x", 404), ("store", "y" * 501, 422), ("store", 5, 422),
    ("store", "窗口‮", 422)])
def test_strange_names_and_texts_are_refused(sign_in: Callable[..., FlaskClient], name: str, chosen: Any, status: int
                                             ) -> None:
    assert _put(sign_in("pharmacist"), name, chosen).status_code == status


def test_nobody_keeps_more_than_there_are_pages(sign_in: Callable[..., FlaskClient]) -> None:
    client = sign_in("pharmacist")
    for n in range(MOST):
        assert _put(client, f"p{n}", "x").status_code == 200
    assert _put(client, "one-more", "x").status_code == 409
    assert _put(client, "p0", "y").json["items"]["p0"] == "y"  # what is there can still change
