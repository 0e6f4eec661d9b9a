"""`write_site`: a page for each session, an index, and a second run that writes what has changed."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.site import write_site
from tests.pages.browser import needs_chromium, open_page
from tests.queries.lines import answer, at, entries, key, prompt


def names(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (root / "sessions").iterdir()}


def test_a_later_run_writes_only_what_has_changed(engine: Engine, tmp_path: Path) -> None:
    repository = ClaudeSessionRepository(engine)
    repository.append(key("s1"), entries(prompt("u", "one")))
    repository.append(key("s1", "other"), entries(prompt("u", "two")))
    repository.append(key("../../etc/x\n"), entries(prompt("u", "three")))
    assert write_site(engine, tmp_path)[:3] == (3, 3, 0)
    before = names(tmp_path)
    assert len(before) == 3
    assert write_site(engine, tmp_path)[:3] == (3, 0, 0)
    assert names(tmp_path) == before

    repository.append(key("s1"), entries(answer("a", "more", parent="u")))
    repository.delete(key("s1", "other"))
    assert write_site(engine, tmp_path)[:3] == (2, 1, 1)
    index = (tmp_path / "index.html").read_text()
    links = re.findall(r'href="sessions/([^"]*)"', index)
    assert set(links) == set(names(tmp_path))
    for link in links:
        page = tmp_path / "sessions" / link
        assert 'href="../index.html"' in page.read_text()
        assert page.stat().st_mode & 0o777 == 0o600


def test_files_of_others_are_left_alone(engine: Engine, tmp_path: Path) -> None:
    ClaudeSessionRepository(engine).append(key("s1"), entries(prompt("u", "one")))
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(FileExistsError):
        write_site(engine, tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".boocode-sessions.json").write_text(json.dumps({"../precious": "x"}))
    write_site(engine, tmp_path)
    assert (tmp_path / "precious").exists()


@needs_chromium
def test_the_index_filters_without_a_script(engine: Engine, tmp_path: Path) -> None:
    repository = ClaudeSessionRepository(engine)
    repository.append(key("new"), entries(prompt("u", "the new one")))
    repository.append(key("old", "q"), entries(prompt("u", "the old one", timestamp=at(-40 * 86400))))
    write_site(engine, tmp_path / "site")
    index = tmp_path / "site" / "index.html"
    shown = tmp_path / "shown.html"

    def visible(checked: str) -> list[str]:
        page = index.read_text().replace(" checked", "").replace(f'id="{checked}"', f'id="{checked}" checked')
        # A script of the test's own asks what can be seen, so the page's policy has to go.
        page = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page)
        seen = "[...document.links].filter(a => a.checkVisibility()).map(a => a.text).join()"
        script = f"<script>document.title={seen}</script>"
        shown.write_text(page.replace("</body>", f"{script}</body>"))
        title = re.search("<title>(.*?)</title>", open_page(shown.as_uri(), tmp_path / "profile"))
        assert title
        return sorted(title[1].split(","))

    assert visible("age-all") == ["the new one", "the old one"]
    assert visible("age-30") == ["the new one"]
