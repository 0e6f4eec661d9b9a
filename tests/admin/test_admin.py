"""The admin's views in a small application, asked over HTTP, and once in a browser."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from sqladmin import Admin
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.testclient import TestClient

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.admin import add_views
from tests.fixtures.databases import Database
from tests.pages.browser import needs_chromium, open_page
from tests.queries.lines import answer, entries, key, prompt, tool_use

BAD = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def stored(engine: Engine) -> Engine:
    lines = entries(prompt("u", f"a question {BAD}"), answer("a", tool_use("t", BAD), parent="u", model=BAD))
    ClaudeSessionRepository(engine).append(key(f"s1{BAD}"), lines)
    return engine


def application(engine: object) -> Starlette:
    app = Starlette()
    add_views(Admin(app, engine))  # type: ignore[arg-type]
    return app


PAGES = {
    "/admin/claude-session/list": ["s1&lt;script&gt;"],
    "/admin/claude-session-entry/list": ["a question &lt;script&gt;", "assistant"],
    "/admin/claude-session-entry/details/1": ["a question &lt;script&gt;", "parentUuid"],
    "/admin/claude-usage": ["2026-11-20", "&lt;script&gt;"],
}


def test_each_view_shows_what_is_stored(stored: Engine) -> None:
    with TestClient(application(stored)) as client:
        for path, said in PAGES.items():
            page = client.get(path)
            assert page.status_code == 200, path
            assert all(text in page.text for text in said), path
            assert "<script>document.title" not in page.text
            assert "<img src=x" not in page.text
        found = client.get("/admin/claude-session/list", params={"search": "nosuch"})
        assert "s1&lt;script&gt;" not in found.text


def test_nothing_can_be_changed(stored: Engine) -> None:
    with TestClient(application(stored)) as client:
        for view in ("claude-session", "claude-session-entry"):
            assert client.get(f"/admin/{view}/create").status_code == 403
            assert client.post(f"/admin/{view}/create", data={}).status_code == 403
            assert client.get(f"/admin/{view}/edit/1").status_code == 403
            assert client.request("DELETE", f"/admin/{view}/delete", params={"pks": "1"}).status_code == 403
    assert ClaudeSessionRepository(stored).load(key(f"s1{BAD}")) is not None


@pytest.mark.usefixtures("stored")
def test_an_async_engine_works_too(database: Database) -> None:
    async def ask() -> None:
        engine = create_async_engine(database.async_url)
        transport = httpx.ASGITransport(app=application(engine))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for path, said in PAGES.items():
                page = await client.get(path)
                assert all(text in page.text for text in said), path
        await engine.dispose()

    asyncio.run(ask())


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@needs_chromium
def test_a_browser_shows_them_and_runs_nothing_of_a_transcript(stored: Engine, tmp_path: Path) -> None:
    with served(application(stored)) as host:
        for path in ("/admin/claude-session-entry/list", "/admin/claude-usage"):
            page = open_page(host + path, tmp_path / "profile")
            assert "&lt;script&gt;" in page
            assert "<title>owned" not in page
