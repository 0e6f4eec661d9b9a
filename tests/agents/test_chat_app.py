"""The example in a browser: `make chat`, and what its users do. The tabs are Chromium's, the agents real."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import select
from sqlalchemy.orm import Session

from boocode_sessions.agents import ClaudeAgentSession
from boocode_sessions.engine import create_engine
from tests.e2e.agent import ROOT

pytestmark = pytest.mark.xdist_group("chat_app")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 40
"""Far more than a turn takes, a resume included, so that only a hang is cut off."""


class Server:
    """The example in a process of its own, with a demo model, over a SQLite file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        names = ("ANTHROPIC_", "CLAUDE", "AWS_", "GOOGLE_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(names)}
        environment |= {"PORT": str(self.port), "CHAT_FOLDER": str(self.folder)}
        command = [sys.executable, "-u", "-m", "examples.chat_app"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        while not self._listens():
            assert self._process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        self._process.send_signal(number)
        self._process.wait(SECONDS)

    def agent_of(self, tab: Page) -> ClaudeAgentSession:
        engine = create_engine(f"sqlite:///{self.folder}/chats.db")
        with Session(engine) as db:
            row = db.scalars(select(ClaudeAgentSession).filter_by(chat_id=chat_of(tab))).one()
        engine.dispose()
        return row


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: `make services` installs Debian's")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:  # noqa: ARG001 - without one it is not started
    server = Server(tmp_path_factory.mktemp("chats"))
    yield server
    server.stop()


@pytest.fixture
def tab(browser: Browser, server: Server) -> Iterator[Page]:
    """A tab in which a chat was begun."""
    context = browser.new_context()
    context.set_default_timeout(SECONDS * 1000)
    expect.set_options(timeout=SECONDS * 1000)
    page = context.new_page()
    page.goto(server.url)
    page.get_by_label("Title of a new chat").fill("Rain")
    page.get_by_role("button", name="+").click()
    page.get_by_label("Prompt").wait_for()
    yield page
    context.close()


def chat_of(tab: Page) -> str:
    return tab.url.partition("#")[2]


def say(page: Page, text: str) -> None:
    page.get_by_label("Prompt").fill(text)
    with page.expect_response(lambda answer: answer.url.endswith("/prompts")) as answered:
        page.get_by_role("button", name="Send").click()
    assert answered.value.status == 202, answered.value.text()


def test_there_is_nowhere_to_say_anything_before_a_chat_is_open(browser: Browser, server: Server) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        expect(page.get_by_label("Title of a new chat")).to_be_visible()
        expect(page.get_by_label("Prompt")).to_be_hidden()


def test_two_tabs_see_one_chat_and_a_reload_in_the_middle_of_a_turn_loses_nothing(
    tab: Page, server: Server
) -> None:
    other = tab.context.new_page()
    other.goto(tab.url)
    say(tab, "run touch proof")
    for page in (tab, other):
        expect(page.locator(".prompt")).to_have_text("run touch proof")
        expect(page.locator(".permission")).to_contain_text("May Bash run?")
    tab.reload()
    expect(tab.locator(".prompt")).to_have_text("run touch proof")
    expect(tab.locator(".text")).to_have_text("I will run it.")
    assert not (server.folder / "work" / "proof").exists()
    request = f"{server.url}/permissions/{tab.locator('.permission').get_attribute('id')}"
    tab.get_by_role("button", name="Allow").click()
    for page in (tab, other):
        expect(page.locator(".outcome")).to_have_text("allowed")
        expect(page.get_by_role("button", name="Deny")).to_have_count(0)
        expect(page.locator(".ended")).to_contain_text("completed")
    assert (server.folder / "work" / "proof").exists()
    assert tab.request.post(request, data={"allow": False}).status == 409  # it was answered
    tab.reload()  # from the database now: no turn is under way
    expect(tab.locator(".tool")).to_contain_text("touch proof")
    expect(tab.locator(".text").last).to_contain_text("It said:")


def test_a_chat_goes_on_after_a_restart_of_the_server(tab: Page, server: Server) -> None:
    say(tab, "Remember 7731.")
    expect(tab.locator(".ended")).to_contain_text("completed")
    for restarts, number in enumerate((signal.SIGTERM, signal.SIGKILL), 1):
        server.stop(number)
        server.start()
        expect(tab.locator(".ended")).to_have_count(0)  # the tab came back by itself, and read the history
        expect(tab.locator(".text").first).to_have_text("You said: Remember 7731.")
        say(tab, "what did I say first?")
        expect(tab.locator(".text").nth(restarts)).to_have_text("First you said: Remember 7731.")
        expect(tab.locator(".ended")).to_contain_text("completed")
    row = server.agent_of(tab)
    assert (row.turns, row.fencing_token) == (3, 3)


def test_what_an_agent_does_after_a_turn_is_told(tab: Page) -> None:
    say(tab, "background touch begun; sleep 1")
    tab.get_by_role("button", name="Allow").click()
    expect(tab.locator(".ended")).to_have_count(2)  # and the agent's own turn, when the command has ended


def test_tabs_that_nobody_sees_do_not_keep_the_browser_from_the_server(tab: Page) -> None:
    set_hidden = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true})
        document.dispatchEvent(new Event("visibilitychange"))
    }"""
    for _ in range(7):  # a browser has six connections to a server
        other = tab.context.new_page()
        other.goto(tab.url)
        other.evaluate(set_hidden, True)
    say(tab, "Hello.")
    expect(tab.locator(".ended")).to_have_count(1)
    other.evaluate(set_hidden, False)
    expect(other.locator(".text")).to_have_text("You said: Hello.")


def test_what_is_not_there_is_not_found_and_another_name_is_not_answered(tab: Page, server: Server) -> None:
    requests = tab.request
    assert requests.get(f"{server.url}/chats/none/events").status == 404
    assert requests.post(f"{server.url}/chats/none/prompts", data={"text": "Hello."}).status == 404
    assert requests.post(f"{server.url}/permissions/none", data={"allow": True}).status == 404
    chat = chat_of(tab)
    assert requests.post(f"{server.url}/chats/{chat}/interrupt").status == 409  # no turn
    assert requests.post(f"{server.url}/chats/{chat}/prompts", data={"text": ""}).status == 422
    assert requests.get(f"{server.url}/chats", headers={"Host": "elsewhere.example"}).status == 400
