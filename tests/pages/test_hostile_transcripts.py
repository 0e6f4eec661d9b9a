"""A transcript is hostile input: no text in it runs a script, asks the network, or escapes its place."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from boocode_sessions.pages import Listed, index_page, session_page
from boocode_sessions.queries import Rows, SessionRow
from tests.pages.browser import needs_chromium, open_page, serving
from tests.pages.hostile import PAYLOADS, RUNS
from tests.queries.lines import Line, answer, prompt


def hostile_page(host: str = "http://127.0.0.1:9") -> str:
    """A page in which every place that holds text holds every payload."""
    lines: list[Line] = []
    payloads = [payload.replace("HOST", host) for payload in PAYLOADS]
    for number, bad in enumerate(payloads):
        call = f"t{number}{bad}"
        use = {"type": "tool_use", "id": call, "name": bad, "input": {"file_path": f"{bad}.py", bad: bad}}
        svg = {
            "type": "base64",
            "media_type": "image/svg+xml",
            "data": base64.b64encode(bad.encode("utf-8", "replace")).decode(),
        }
        result = [
            {"type": "text", "text": bad},
            {"type": "image", "source": svg},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": bad}},
            {"type": "image", "source": {"type": "url", "url": f"{host}/image.png"}},
            {"type": bad, "text": bad},
            bad,
        ]
        lines += [
            prompt(f"u{number}{bad}", bad),
            answer(f"a{number}", {"type": "thinking", "thinking": bad}, bad, use, model=bad),
            prompt(
                "", "", message={"content": [{"type": "tool_result", "tool_use_id": call, "content": result}]}
            ),
            {"type": bad, "subtype": bad, "uuid": bad, "timestamp": bad},
            {"type": "ai-title", "aiTitle": bad},
        ]
    return session_page(
        lines,
        {f"subagents/{bad}": [prompt(bad, bad)] for bad in payloads},
        session_id=payloads[1],
        project_key=payloads[2],
        note=payloads[0],
    )


class Markup(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value or "") for name, value in attrs] or [(tag, "", "")]


def test_no_text_becomes_an_element_or_an_attribute() -> None:
    found = Markup(hostile_page()).found
    tags = {tag for tag, _, _ in found}
    assert not tags & {"script", "svg", "iframe", "base", "object", "embed", "form", "input", "img"}
    assert [value for tag, name, value in found if tag == "link"] == ["icon", "data:,"]
    assert not {
        name for _, name, _ in found if name.startswith("on") or name in {"style", "srcdoc", "autofocus"}
    }
    links = {value for tag, name, value in found if tag == "a" and name == "href"}
    assert all(re.match(r"#[\w-]+$|http://127\.0\.0\.1:9/", link) for link in links), links


@needs_chromium
def test_a_browser_runs_nothing_and_asks_for_nothing(tmp_path: Path) -> None:
    files: dict[str, str] = {}
    with serving(files) as (host, asked):
        files["/page"] = hostile_page(host)
        files["/open"] = files["/page"].replace("<details", "<details open")
        naked = "".join(PAYLOADS).replace("http-equiv=refresh", "")
        files["/naked"] = naked.replace("HOST", host).encode("utf-8", "replace").decode()
        rendered = open_page(f"{host}/page", tmp_path / "profile")
        opened = open_page(f"{host}/open", tmp_path / "profile")
        assert asked == ["/page", "/open"]
        for dom in (rendered, opened):
            assert "<title>owned</title>" not in dom
            assert "<script" not in dom
        # The same texts without our page do both.
        assert "<title>owned</title>" in open_page(f"{host}/naked", tmp_path / "profile")
        assert {"/image", "/style"} & set(asked)


@needs_chromium
def test_the_policy_alone_stops_what_would_get_through(tmp_path: Path) -> None:
    page = session_page([prompt("u", "PLACE")], {}, session_id="s", project_key="p")
    files: dict[str, str] = {}
    with serving(files) as (host, asked):
        inside = (
            f"<script>{RUNS}</script><img src={host}/i onerror={RUNS}><p style='color:red' onclick={RUNS}>"
        )
        files["/page"] = page.replace("PLACE", inside)
        dom = open_page(f"{host}/page", tmp_path / "profile")
        assert asked == ["/page"]
    assert "<title>owned</title>" not in dom


def test_titles_in_an_index_and_in_a_table_are_text() -> None:
    for bad in PAYLOADS:
        row = SessionRow(bad, bad, bad, bad, 1, 0, 1, 1, None, None, None, False, True, False)
        index = index_page([Listed("sessions/x.html", bad, bad, bad, None, 1, 1)])
        table = Rows(SessionRow, [row])._repr_html_()
        for html in (index, table):
            found = Markup(html).found
            assert not {tag for tag, _, _ in found} & {"script", "svg", "iframe", "base", "img"}
            assert not {name for _, name, _ in found if name.startswith("on")}
            html.encode()


def test_subagents_of_subagents_of_subagents_are_shown() -> None:
    def lines(number: int) -> list[Line]:
        ask = {
            "type": "tool_use",
            "id": f"t{number}",
            "name": "Agent",
            "input": {"prompt": f"do {number + 1}"},
        }
        found = {"type": "tool_result", "tool_use_id": f"t{number}", "content": f"did {number}"}
        return [
            prompt(f"u{number}", f"do {number}"),
            answer(f"a{number}", ask),
            prompt(f"r{number}", [found], toolUseResult={"agentId": f"{number + 1}"}),
        ]

    subagents = {f"subagents/agent-{number}": lines(number) for number in range(1, 500)}
    page = session_page(lines(0), subagents, session_id="s", project_key="p")
    assert all(f"did {number}" in page for number in range(500))


@pytest.mark.parametrize(
    "text",
    [
        "<!--" * 12_000,
        "[" * 30_000,
        "*" * 50_000,
        "> " * 3_000 + "x",
        "`" * 50_000,
        "![](" * 12_000,
        "- " * 2_000 + "x",
        "_a" * 20_000,
        "<a" * 20_000,
        "|" * 20_000 + "\n|-",
        "\\" * 50_000,
    ],
)
def test_a_text_that_wants_to_cost_time_is_shown(text: str) -> None:
    page = session_page([prompt("u", text)], {}, session_id="s", project_key="p")
    assert len(page) < 5_000_000
