"""The page and its files: cached as they should be, under the strict CSP; the lock file names no registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from his_server.web import build, serve


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A client of the blueprint alone, over a small built folder."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><div id=app></div>")
    (tmp_path / "assets" / "index-abc123.js").write_text("export {}")
    (tmp_path / "secret.txt").write_text("no")
    monkeypatch.setattr(serve, "DIST", tmp_path)
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(serve.blueprint)

    class Reading(FlaskClient):
        """Reads answers to the end, so that no file stays open."""

        def get(self, path: str) -> TestResponse:  # type: ignore[override]
            return super().get(path, buffered=True)

    app.test_client_class = Reading
    return app.test_client()


@pytest.mark.parametrize("path", ["/", "/cashier", "/p/kernel/patients/detail?id=1", "/secret.txt"])
def test_every_path_outside_the_api_is_the_page(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert b"id=app" in answer.data
    assert answer.headers["Cache-Control"] == "no-cache"


def test_policy_allows_nothing_inline(client: FlaskClient) -> None:
    policy = dict(
        part.split(" ", 1)
        for part in client.get("/").headers["Content-Security-Policy"].split("; ")
    )
    assert policy["script-src"] == policy["style-src"] == policy["default-src"] == "'self'"
    assert "unsafe" not in " ".join(policy.values())
    assert policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self' http://127.0.0.1:* ws://127.0.0.1:*"


def test_hashed_files_are_kept_for_a_year(client: FlaskClient) -> None:
    answer = client.get("/assets/index-abc123.js")
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/api/unknown", "/api", "/assets/missing.js", "/assets/../secret.txt"]
)
def test_unknown_api_and_files_are_not_the_page(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_without_a_build_it_says_what_to_do(client: FlaskClient) -> None:
    (serve.DIST / "index.html").unlink()
    answer = client.get("/")
    assert answer.status_code == 503
    assert "his_server.web.build" in answer.get_data(as_text=True)


def test_lock_file_names_no_registry_host() -> None:
    lock = (build.WEB / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    hosts = set(re.findall(r"https?://([^/\"]+)", lock))
    # What is left are the pages where maintainers ask for donations.
    assert not {host for host in hosts if "registry" in host or "npm" in host or "mirror" in host}


def test_a_changed_page_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.vue"
    page.write_text("<template>1</template>")
    monkeypatch.setattr(build, "REPOSITORY", tmp_path)
    before = build.digest([page])
    page.write_text("<template>2</template>")
    assert build.digest([page]) != before


def test_sources_hold_pages_of_modules_but_no_packages() -> None:
    names = [str(path) for path in build.sources()]
    assert any(name.endswith("web/src/main.ts") for name in names)
    assert not any("node_modules" in name or "dev-mock" in name for name in names)
