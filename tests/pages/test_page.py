"""What stands on a session's page."""

import html
import re
import string
import sys
from datetime import timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, pages, queries
from boocode_sessions.errors import MissingExtraError, UnknownSessionError
from boocode_sessions.pages import session_page
from tests.queries.lines import Line, answer, entries, key, prompt, result, tool_use

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def page_of(*lines: Line, **subagents: list[Line]) -> str:
    named = {f"subagents/agent-{name}": of_agent for name, of_agent in subagents.items()}
    return session_page(lines, named, session_id="s", project_key="p")


def text_of(page: str) -> str:
    """The text that a reader can see, spaces aside."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return "".join(html.unescape(re.sub(r"<[^>]*>", "", body)).split())


SAYABLE = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" \n" + string.punctuation))
MARKDOWN = st.lists(
    st.sampled_from(
        [
            "**a**",
            "# b",
            "- c",
            "7. d",
            "[e](http://f)",
            "[g]: h",
            "![i](j)",
            "```k\nl\n```",
            "<b>",
            "&amp;",
            "|m|n|",
            "|-|",
            "\\*",
            "> o",
            "    p",
            "~~q~~",
            "__r__",
            "C:\\_s",
            "<http://t>",
            "a\\\nb",
            "---",
            "1) u",
            "\n",
            "\n\n",
        ]
    )
).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.one_of(SAYABLE, MARKDOWN))
def test_every_visible_character_of_a_message_is_on_the_page(text: str) -> None:
    wanted = "".join(text.split())
    said = page_of(
        prompt("u", text), answer("a", {"type": "thinking", "thinking": text}, text, tool_use("t"))
    )
    assert text_of(said).count(wanted) >= 3
    answered = page_of(
        answer("a", tool_use("t")),
        prompt("r", "", message={"content": [{"type": "tool_result", "tool_use_id": "t", "content": text}]}),
    )
    assert wanted in text_of(answered)


def test_controls_are_seen_instead_of_steering() -> None:
    page = page_of(prompt("u", "a\x00b\x1b[31m \u202e \ud83d \r\nend"))
    assert "a␀b␛[31m" in text_of(page)
    assert not set(page) & {"\x00", "\x1b", "\u202e", "\r"}
    page.encode()


def test_thinking_tools_and_subagents_are_folded_and_nested() -> None:
    page = page_of(
        prompt("u", "go"),
        answer("a", {"type": "thinking", "thinking": "hm"}, "I go", tool_use("t1", "Agent"), parent="u"),
        result("r", "t1", error=True, toolUseResult={"agentId": "x"}),
        x=[
            prompt("xu", "look"),
            answer("xa", tool_use("t2", "Agent")),
            result("xr", "t2", toolUseResult={"agentId": "y"}),
        ],
        y=[prompt("yu", "deeper")],
        z=[prompt("zu", "on its own")],
    )
    marks = re.findall(
        r'<details class="(thinking|tool|tool failed|subagent)">|(deeper)|id="(subagents|r|xr)"', page
    )
    assert ["".join(mark) for mark in marks] == [
        "thinking",
        "tool failed",
        "r",
        "subagent",
        "tool",
        "xr",
        "subagent",
        "deeper",
        "subagents",
        "subagent",
    ]


def test_a_subagent_is_found_by_its_prompt_too() -> None:
    use = {"type": "tool_use", "id": "t", "name": "Task", "input": {"prompt": "Look for gaps"}}
    page = page_of(answer("a", use), later=[prompt("su", "Look for gaps")])
    assert 'id="subagents"' not in page
    assert 'id="su"' in page


def test_a_prompt_sent_while_the_agent_is_at_work_is_shown_as_said_by_you() -> None:
    attachment = {"type": "queued_command", "commandMode": "prompt", "prompt": "Run the tests, too"}
    queued: Line = {"type": "attachment", "uuid": "q", "attachment": attachment}
    page = page_of(answer("a", "At work"), queued)
    assert re.search(r'<a href="#q"[^>]*>\s*Run the tests, too', page)  # in the table of contents
    assert "You#Runthetests,too" in text_of(page.partition('id="q"')[2])


def test_the_agents_own_notices_name_no_model() -> None:
    page = page_of(prompt("u", "hi"), answer("a", "API Error", model="<synthetic>"), answer("b", "hello"))
    assert "claude-opus-5-5" in page
    assert "synthetic" not in page


def test_images_stand_in_the_page() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    shown = page_of(
        prompt("u", [image]),
        answer("a", tool_use("t")),
        prompt(
            "r", "", message={"content": [{"type": "tool_result", "tool_use_id": "t", "content": [image]}]}
        ),
    )
    assert shown.count(f'src="data:image/png;base64,{PIXEL}"') == 2


def test_code_is_highlighted_by_language_and_by_file() -> None:
    write = {
        "type": "tool_use",
        "id": "t",
        "name": "Write",
        "input": {"file_path": "a.py", "content": "import re"},
    }
    page = page_of(answer("a", "```python\nimport os\n```", write, tool_use("b")))
    assert page.count('<span class="kn">import</span>') == 2
    assert '<span class="language">python</span>' in page


def test_an_anchor_is_the_entrys_uuid_and_each_is_there_once() -> None:
    lines = [prompt("u-1", "one"), prompt("u-1", "again"), {"type": "summary"}, prompt('a b"c', "odd")]
    anchors = re.findall(r'<article id="([^"]*)"', page_of(*lines))
    assert anchors[:3] == ["u-1", "u-1-2", "e-2"]
    assert re.fullmatch(r"x[0-9a-f]{16}", anchors[3])
    assert re.findall(r'<li><a href="#([^"]*)">', page_of(*lines)) == [anchors[0], anchors[1], anchors[3]]


def test_a_stored_session_as_a_page(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine)
    lines = [
        prompt("u1", "first"),
        answer("a1", "one", parent="u1"),
        prompt("u2", "dropped", "u1"),
        prompt("u3", "kept", "a1"),
        {"type": "ai-title", "aiTitle": "The title"},
    ]
    repository.append(key("abcdef"), entries(*lines))
    repository.append(key("abcdef", subpath="subagents/agent-1"), entries(prompt("su", "alone")))
    page = queries.as_html(engine, "abc", tz=timezone(timedelta(hours=2)))
    assert "<title>The title</title>" in page
    assert "02:00" in page
    assert "1 message is not shown" in page
    assert "dropped" not in page
    assert "alone" in page
    whole = queries.as_html(engine, "abc", everything=True)
    assert "dropped" in whole
    assert "not shown" not in whole
    assert "<title>alone</title>" in queries.as_html(engine, "abc", subpath="subagents/agent-1")
    with pytest.raises(UnknownSessionError):
        queries.as_html(engine, "nosuch")


def test_jupyter_shows_a_conversation_in_a_frame_of_its_own(engine: Engine) -> None:
    ClaudeSessionRepository(engine).append(key("abc"), entries(prompt("u", 'said <b>"so"</b>')))
    shown = queries.conversation(engine, "abc")._repr_html_()
    assert shown.startswith('<iframe sandbox="" srcdoc="')
    assert shown.count('"') == 8  # the page's own are escaped


def test_without_the_libraries_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    ClaudeSessionRepository(engine).append(key("abc"), entries(prompt("u", "said")))
    for module in [name for name in sys.modules if name.startswith("boocode_sessions.pages.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(pages, "document", raising=False)
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'boocode-sessions\[html\]'"):
        queries.as_html(engine, "abc")
    assert "<table>" in queries.conversation(engine, "abc")._repr_html_()
