"""The quickstart runs, and shows what it promises."""

import pytest

from examples import quickstart
from tests.fixtures.databases import Database


def test_the_quickstart_keeps_a_session_and_reads_it_back(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOOCODE_SESSIONS_URL", empty_database.url)
    quickstart.main()
    printed = capsys.readouterr().out
    assert "Is it going to rain?" in printed
    assert "2 of type assistant" in printed
    assert "subagents: ['subagents/agent-1']" in printed
