"""Trees that are not the agent's: each transcript comes under its own key, or is left out and told."""

import errno
import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions._core.keys import Transcript
from boocode_sessions.errors import InvalidKeyError, NotATranscriptTreeError
from boocode_sessions.jsonl import export_tree, import_tree
from boocode_sessions.jsonl.trees import find_transcripts, path_of
from tests.files.sample import file_of, message, stored, write
from tests.fixtures.databases import Databases

S = "0467bc32-8144-44c4-a02c-be06b16e901e"
T = "11111111-8144-44c4-a02c-be06b16e901e"
P = "-home-you-app"
Q = "-home-you-b-cher"
ABOVE = "it lies in no project's folder"
COMPRESSED = "it is compressed: unpack it first"
COPIES = [
    ".sync-conflict-20260301-101010-ABCDEF2",
    " (you's conflicted copy 2026-03-01)",
    " (1)",
    " 2",
    " - Copy",
    "-LAPTOP",
]
"""How Syncthing, Dropbox, browsers, iCloud, Windows and OneDrive name the other one of two files."""


def a_copy(of: str) -> str:
    return f"its name is a copy's; to add its lines, import it as {of}.jsonl"


def said(session: str | None = None, cwd: str | None = None, **members: Any) -> list[dict[str, Any]]:
    """A transcript's lines, with as much of what the agent writes as is given."""
    own = {"sessionId": session} if session else {}
    return [message(1, **own, **({"cwd": cwd} if cwd else {}), **members)]


def main(session: str, cwd: str = "/home/you/app") -> list[dict[str, Any]]:
    return said(session, cwd, isSidechain=False)


def agents(session: str, cwd: str = "/home/you/app") -> list[dict[str, Any]]:
    return said(session, cwd, isSidechain=True, agentId="a1")


class Tree(NamedTuple):
    """What lies on the disk, what is given to the import, and what comes of it."""

    files: dict[str, list[dict[str, Any]]]
    keys: set[tuple[str, str, str]]
    given: str = "."
    told: dict[str, str] = {}  # noqa: RUF012 - never changed


TREES = {
    "a stray file among projects": Tree(
        {f"projects/{T}.jsonl": main(T), f"projects/{P}/{S}.jsonl": main(S)},
        {(P, S, "")},
        "projects",
        {f"projects/{T}.jsonl": ABOVE},
    ),
    "a stray file among projects in a configuration folder": Tree(
        {".claude/projects/notes.jsonl": said(), f".claude/projects/{P}/{S}.jsonl": main(S)},
        {(P, S, "")},
        ".claude",
        {".claude/projects/notes.jsonl": ABOVE},
    ),
    "a stray file, and a folder of another name": Tree(
        {
            f"backup/{T}.jsonl": main(T),
            f"backup/{P}/{S}.jsonl": main(S),
            f"backup/{P}/{S}/subagents/agent-a.jsonl": agents(S),
        },
        {(P, S, ""), (P, S, "subagents/agent-a")},
        "backup",
        {f"backup/{T}.jsonl": ABOVE},
    ),
    "a stray file named as a project": Tree(
        {f"all/{P}.jsonl": main(S), f"all/{P}/{S}.jsonl": main(S)},
        {(P, S, "")},
        "all",
        {f"all/{P}.jsonl": ABOVE},
    ),
    "a project's folder with nothing but subagents": Tree(
        {f"{P}/{S}/subagents/agent-a.jsonl": agents(S)}, {(P, S, "subagents/agent-a")}, P
    ),
    "the same under a name that the agent would not make": Tree(
        {"app/one/subagents/agent-a.jsonl": agents("one")}, {("app", "one", "subagents/agent-a")}, "app"
    ),
    "projects with nothing but subagents": Tree(
        {f"all/{P}/{S}/subagents/workflows/w/agent-a.jsonl": agents(S)},
        {(P, S, "subagents/workflows/w/agent-a")},
        "all",
    ),
    "an archive of several machines": Tree(
        {
            f"archive/laptop/projects/{P}/{S}.jsonl": main(S),
            f"archive/desktop/.claude/projects/{Q}/{T}.jsonl": main(T, "/home/you/bücher"),
            f"archive/old/{P}/{T}.jsonl": main(T),
        },
        {(P, S, ""), (Q, T, ""), (P, T, "")},
        "archive",
    ),
    "an archive whose names tell nothing": Tree(
        {"archive/laptop/projects/app/one.jsonl": said("one")}, {("app", "one", "")}, "archive"
    ),
    "a stray file, and names that tell nothing": Tree(
        {"all/two.jsonl": said("two"), "all/app/one.jsonl": said("one")},
        {("app", "one", "")},
        "all",
        {"all/two.jsonl": ABOVE},
    ),
    "copies in a folder of a project whose name tells nothing": Tree(
        {"app/one.jsonl": said("one"), "app/old/one.jsonl": said("one")},
        {("app", "one", "")},
        "app",
        {"app/old/one.jsonl": "it is the session 'one', and lies with 'old'"},
    ),
    "a transcript in a folder of another session": Tree(
        {f"{P}/{S}.jsonl": main(S), f"{P}/{S}/{T}.jsonl": main(T)},
        {(P, S, "")},
        ".",
        {f"{P}/{S}/{T}.jsonl": f"it is the session {T!r}, and lies with {S!r}"},
    ),
    "copies in a folder beside": Tree(
        {f"{P}/{S}.jsonl": main(S), f"{P}/backup/{S}.jsonl": main(S)},
        {(P, S, "")},
        P,
        {f"{P}/backup/{S}.jsonl": f"it is the session {S!r}, and lies with 'backup'"},
    ),
    "a level too many, and lines that tell it": Tree(
        {"project/session/chat.jsonl": said("chat")}, {("session", "chat", "")}
    ),
    "another transcript with its session's": Tree(
        {"all/app/one.jsonl": said("one"), "all/app/one/chat.jsonl": said("one")},
        {("app", "one", ""), ("app", "one", "chat")},
        "all",
    ),
    "a session's folder among projects": Tree(
        {f"projects/{P}/{S}.jsonl": main(S), f"projects/{T}/subagents/agent-a.jsonl": agents(T)},
        {(P, S, "")},
        "projects",
        {f"projects/{T}": "it is a session's folder, and lies in no project's folder"},
    ),
    "subagents as older agents kept them": Tree(
        {f"projects/{P}/{S}.jsonl": main(S), f"projects/{P}/agent-0a1b.jsonl": agents(S)},
        {(P, S, ""), (P, S, "subagents/agent-0a1b")},
        "projects",
    ),
    "nothing but subagents as older agents kept them": Tree(
        {f"{P}/agent-0a1b.jsonl": agents(S), f"{P}/agent-0a1c.jsonl": agents(T)},
        {(P, S, "subagents/agent-0a1b"), (P, T, "subagents/agent-0a1c")},
        P,
    ),
    "a subagent's file that has another name": Tree(
        {f"{P}/{S}.jsonl": main(S), f"{P}/{T}.jsonl": agents(S)}, {(P, S, ""), (P, S, f"subagents/{T}")}, P
    ),
    "a fork, whose first lines name where it comes from": Tree(
        {f"{P}/{S}.jsonl": main(S), f"{P}/{T}.jsonl": main(S)}, {(P, S, ""), (P, T, "")}, P
    ),
    "a session that only has a subagent's lines": Tree({f"{P}/{S}.jsonl": agents(S)}, {(P, S, "")}, P),
    "a session with an agent's name": Tree(
        {"app/agent-7.jsonl": said("agent-7")}, {("app", "agent-7", "")}, "app"
    ),
    "a prompt with a picture at the beginning": Tree(
        {
            "projects/app/one.jsonl": said("one", picture="x" * 400_000),
            "projects/app/agent-a.jsonl": said(None, picture="x" * 400_000) + agents("one"),
        },
        {("app", "one", ""), ("app", "agent-a", "")},
    ),
    "names with spaces, percent signs and other letters": Tree(
        {
            "projects/Mein Ordner %C3%BC/sitzung 漢字 🙂.jsonl": said(),
            "projects/Mein Ordner %C3%BC/e\u0301/subagents/a b.jsonl": said(),
        },
        {("Mein Ordner %C3%BC", "sitzung 漢字 🙂", ""), ("Mein Ordner %C3%BC", "e\u0301", "subagents/a b")},
    ),
    "outputs of tools": Tree(
        {f"{P}/{S}.jsonl": main(S), f"{P}/{S}/tool-results/rows.jsonl": [{"type": "Feature"}, {"a": 1}]},
        {(P, S, "")},
        P,
    ),
    "a transcript among outputs of tools": Tree(
        {
            "p/s.jsonl": said(),
            "p/s/tool-results/a.jsonl": said(),
            "p/s/subagents/tool-results/b.jsonl": [{"type": "x"}],
        },
        {("p", "s", ""), ("p", "s", "tool-results/a"), ("p", "s", "subagents/tool-results/b")},
    ),
    "copies that syncing and desktops leave": Tree(
        {
            f"{P}/{S}.jsonl": main(S),
            **{f"{P}/{S}{mark}.jsonl": main(S) for mark in COPIES},
            f"{P}/{S}/subagents/agent-a1.jsonl": agents(S),
            f"{P}/{S}/subagents/agent-a1 (1).jsonl": agents(S),
            f"{P}/{S}/subagents/journal{COPIES[0]}.jsonl": said(),
            f"{P}/one.jsonl": said("one"),
            f"{P}/one 2.jsonl": said("one"),
            f"{P}/one-2.jsonl": said("one-2"),
        },
        {(P, S, ""), (P, S, "subagents/agent-a1"), (P, "one", ""), (P, "one-2", "")},
        P,
        {
            **{f"{P}/{S}{mark}.jsonl": a_copy(S) for mark in COPIES},
            f"{P}/{S}/subagents/agent-a1 (1).jsonl": a_copy("agent-a1"),
            f"{P}/{S}/subagents/journal{COPIES[0]}.jsonl": a_copy("journal"),
            f"{P}/one 2.jsonl": a_copy("one"),
        },
    ),
    "a copy of an older agent's subagent, and of a session that is not there": Tree(
        {f"{P}/agent-a1 - Copy.jsonl": agents(S), f"{P}/{T} (1).jsonl": main(T), f"{P}/{S}.jsonl": main(S)},
        {(P, S, "")},
        P,
        {f"{P}/agent-a1 - Copy.jsonl": a_copy("agent-a1"), f"{P}/{T} (1).jsonl": a_copy(T)},
    ),
    "transcripts that are compressed, or named in capitals": Tree(
        {
            f"projects/{P}/{S}.jsonl.gz": main(S),
            f"projects/{P}/{S}/subagents/agent-a.jsonl.zst": agents(S),
            f"projects/{P}/{T}.JSONL": main(T),
            f"projects/{P}/{T}.jsonl.bak": main(T),
        },
        set(),
        "projects",
        {
            f"projects/{P}/{S}.jsonl.gz": COMPRESSED,
            f"projects/{P}/{S}/subagents/agent-a.jsonl.zst": COMPRESSED,
            f"projects/{P}/{T}.JSONL": "its name does not end in .jsonl, as it has to in small letters",
        },
    ),
    "tables beside projects": Tree(
        {f"home/.claude/projects/{P}/{S}.jsonl": main(S), "home/data/rows.jsonl": [{"a": 1}]},
        {(P, S, "")},
        "home",
        {"home/data": "its files hold no transcripts"},
    ),
    "a folder that tells nothing, beside projects": Tree(
        {f"all/{P}/{S}.jsonl": main(S), "all/x/y/z.jsonl": said()},
        {(P, S, "")},
        "all",
        {"all/x": "nothing tells whether it is a project's folder or a session's"},
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_each_transcript_gets_its_own_key_or_is_told(engine: Engine, tmp_path: Path, name: str) -> None:
    tree = TREES[name]
    for path, entries in tree.files.items():
        write(tmp_path / path, entries)
    result = import_tree(engine, tmp_path / tree.given)
    assert {str(item.path): item.problem for item in result.first_broken} == {
        str(tmp_path / path): problem for path, problem in tree.told.items()
    }
    assert set(stored(engine)) == tree.keys
    assert import_tree(engine, tmp_path / tree.given).added == 0


@pytest.mark.parametrize(
    ("files", "given", "problem"),
    [
        (["project/session/chat.jsonl"], ".", "nothing tells whether"),
        (["x/a.jsonl", "x/y/b.jsonl"], "x", "nothing tells whether"),
        ([f"{P}/{S}/subagents/agent-a.jsonl"], f"{P}/{S}", f"is one session's folder: give .*{P}$"),
        ([f"{P}/{S}/subagents/agent-a.jsonl"], f"{P}/{S}/subagents", "lies within one session's folder"),
        ([f"{P}/{S}/subagents/w/agent-a.jsonl"], f"{P}/{S}/subagents/w", "lies within one session's folder"),
    ],
)
def test_where_nothing_tells_the_level_nothing_is_imported(
    engine: Engine, tmp_path: Path, files: list[str], given: str, problem: str
) -> None:
    for path in files:
        write(tmp_path / path, said())
    with pytest.raises(NotATranscriptTreeError, match=problem):
        import_tree(engine, tmp_path / given)
    assert stored(engine) == {}


def test_links_to_folders_are_followed_and_circles_end(engine: Engine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk"
    write(elsewhere / "agent-a.jsonl", agents(S))
    write(elsewhere / "deep" / "agent-b.jsonl", agents(S))
    (elsewhere / "round").symlink_to(elsewhere)
    write(tmp_path / P / f"{S}.jsonl", main(S))
    (tmp_path / P / S).mkdir()
    (tmp_path / P / S / "subagents").symlink_to(elsewhere)
    (tmp_path / P / S / "up").symlink_to(tmp_path / P / S)
    result = import_tree(engine, tmp_path / P)
    assert (result.files, result.broken) == (3, 0)
    assert {subpath for _, _, subpath in stored(engine)} == {
        "",
        "subagents/agent-a",
        "subagents/deep/agent-b",
    }


def test_projects_and_transcripts_may_be_links(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / "disk" / "x.jsonl", main(S))
    (tmp_path / "projects" / P).mkdir(parents=True)
    (tmp_path / "projects" / P / f"{S}.jsonl").symlink_to(tmp_path / "disk" / "x.jsonl")
    (tmp_path / "projects" / Q).symlink_to(tmp_path / "projects" / P)
    assert import_tree(engine, tmp_path).broken == 0
    assert set(stored(engine)) == {(P, S, ""), (Q, S, "")}


@pytest.mark.parametrize("where", [P, f"{P}/{S}", f"{P}/{S}/subagents", "."])
def test_what_is_no_file_is_told_and_the_rest_goes_on(engine: Engine, tmp_path: Path, where: str) -> None:
    root = tmp_path / "projects"
    write(root / P / f"{S}.jsonl", main(S))
    bad = root / where
    bad.mkdir(parents=True, exist_ok=True)
    (bad / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    (bad / "gone.meta.json").symlink_to(tmp_path / "nowhere")
    os.mkfifo(bad / "pipe.jsonl")
    (bad / "endless.jsonl").symlink_to("/dev/zero")
    (bad / "loop.jsonl").symlink_to("loop.jsonl")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(bad, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/socket.jsonl")  # a socket's own path must be short
        os.close(here)
    result = import_tree(engine, root)
    assert {item.path.name: item.problem for item in result.first_broken} == {
        "gone.jsonl": "it is a link that leads nowhere",
        "gone.meta.json": "it is a link that leads nowhere",
        "pipe.jsonl": "it is no file, but a pipe or a device",
        "endless.jsonl": "it is no file, but a pipe or a device",
        "socket.jsonl": "it is no file, but a pipe or a device",
        "loop.jsonl": f"it can't be read: {os.strerror(errno.ELOOP)}",
    }
    assert set(stored(engine)) == {(P, S, "")}


@pytest.mark.parametrize("endings", [(".jsonl", ".meta.json"), (".meta.json", ".jsonl")])
def test_a_device_beside_a_transcripts_other_file_is_told(
    engine: Engine, tmp_path: Path, endings: tuple[str, str]
) -> None:
    folder = tmp_path / P / S / "subagents"
    write(tmp_path / P / f"{S}.jsonl", main(S))
    write(folder / "agent-a.jsonl", main(S))
    (folder / "agent-a.meta.json").write_text(json.dumps({"agentType": "Explore"}))
    good, bad = endings
    (folder / f"agent-a{bad}").unlink()
    (folder / f"agent-a{bad}").symlink_to("/dev/zero")
    result = import_tree(engine, tmp_path)
    problem = "it is no file, but a pipe or a device"
    assert {item.path.name: item.problem for item in result.first_broken} == {f"agent-a{bad}": problem}
    assert set(stored(engine)) == {(P, S, ""), (P, S, "subagents/agent-a")}
    assert (folder / f"agent-a{good}").is_file()


def test_what_macos_leaves_on_other_file_systems_is_no_transcript(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / P / f"{S}.jsonl", main(S))
    (tmp_path / P / f"._{S}.jsonl").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert import_tree(engine, tmp_path).broken == 0
    assert set(stored(engine)) == {(P, S, "")}


def test_hidden_files_and_folders_with_a_transcripts_name_are_told(engine: Engine, tmp_path: Path) -> None:
    project = tmp_path / "projects" / P
    write(project / f"{S}.jsonl", main(S))
    write(project / S / "subagents" / "agent-a.jsonl", agents(S))
    write(project / "folder.jsonl" / "agent-b.jsonl", said())
    dots = [f".{S}.jsonl", f"._{S}.jsonl", ".jsonl", f"{S}/subagents/.agent-a.meta.json"]
    folders = [f"{T}.jsonl", f"{S}/subagents/agent-c.jsonl", f"{S}/subagents/agent-a.meta.json"]
    for name in dots:
        write(project / name, main(S))
    for name in folders:
        (project / name).mkdir()
    (project / folders[0] / "notes.txt").touch()
    told = {
        str(item.path.relative_to(project)): item.problem
        for item in import_tree(engine, tmp_path).first_broken
    }
    assert told == {
        **dict.fromkeys(dots, "its name begins with a dot, as no transcript's does"),
        **dict.fromkeys(folders, "it is a folder, and holds no transcripts"),
    }
    assert set(stored(engine)) == {(P, S, ""), (P, S, "subagents/agent-a"), (P, "folder.jsonl", "agent-b")}


@pytest.mark.parametrize("subpath", ["", "subagents/.agent-1"])
def test_a_key_that_would_be_a_hidden_file_is_not_exported(
    engine: Engine, tmp_path: Path, subpath: str
) -> None:
    key: SessionKey = {"project_key": "p", "session_id": "s" if subpath else ".s"}
    ClaudeSessionRepository(engine).append({**key, "subpath": subpath} if subpath else key, [message(1)])
    [refused] = export_tree(engine, tmp_path).refused
    assert "would be a hidden file" in refused.reason


@pytest.mark.parametrize(
    "key",
    [
        {"project_key": "projects", "session_id": S},
        {"project_key": "subagents", "session_id": S},
        {"project_key": P, "session_id": "subagents", "subpath": "subagents/agent-1"},
    ],
)
def test_a_key_whose_folder_would_hide_all_others_is_not_exported(
    engine: Engine, tmp_path: Path, key: SessionKey
) -> None:
    repository = ClaudeSessionRepository(engine)
    repository.append(key, [message(1)])
    kept: SessionKey = {"project_key": P, "session_id": T}
    repository.append(kept, [message(2)])
    [refused] = export_tree(engine, tmp_path).refused
    assert refused.key == key
    repository.delete(kept)
    assert import_tree(engine, tmp_path).broken == 0
    assert repository.load(kept) == [message(2)]


@pytest.mark.parametrize("leads_to", [".", "..", "../..", "/"])
@pytest.mark.parametrize("link", ["subagents", "subagents/more"])
def test_a_link_to_a_folder_that_it_lies_in_is_told(
    engine: Engine, tmp_path: Path, leads_to: str, link: str
) -> None:
    root = tmp_path / "projects"
    write(root / P / f"{S}.jsonl", main(S))
    write(root / P / f"{T}.jsonl", main(T))
    path = root / P / S / link
    path.parent.mkdir(parents=True)
    path.symlink_to((root / P / leads_to).resolve())
    [told] = import_tree(engine, root).first_broken
    assert (told.path, told.problem) == (path, "it is a link that leads back to a folder that it lies in")
    assert set(stored(engine)) == {(P, S, ""), (P, T, "")}


NAMES = st.one_of(
    st.sampled_from(["p", S, T, "tool-results", "agent-1", "._x", "a.jsonl", "%41"]),
    st.text(min_size=1, max_size=12).filter(lambda name: not name.startswith("-") and name[1:3] != "--"),
)
"""Not those by which the agent tells one level from another: they would tell the wrong one."""
KEYS = st.tuples(
    NAMES, NAMES, st.one_of(st.just(""), st.lists(NAMES, min_size=1, max_size=3).map("/".join))
).filter(lambda key: not {key[0], key[1]} & {*key[2].split("/")} and key[0] != key[1])
"""A name that stands on two levels would tell neither."""


@settings(deadline=None)
@given(keys=st.sets(KEYS, min_size=1, max_size=4))
def test_an_exported_transcript_is_found_or_told(keys: set[tuple[str, str, str]]) -> None:
    """Whatever the keys are, none is found under another one, and none is passed over in silence."""
    written = set[Transcript]()
    with TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        root.mkdir()
        for project, session, subpath in keys:
            transcript = Transcript(project, session, subpath)
            with suppress(InvalidKeyError, OSError):  # as the export refuses them
                write(path_of(transcript, root), said(session, isSidechain=bool(subpath)))
                written.add(transcript)
        try:
            files, told = find_transcripts(root)
        except NotATranscriptTreeError:
            files, told = [], []
    found = {file.transcript for file in files}
    assert found <= written
    assert found == written or told or not files


def test_a_link_for_subagents_that_leads_nowhere_is_told(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / P / f"{S}.jsonl", main(S))
    (tmp_path / P / S).mkdir()
    (tmp_path / P / S / "subagents").symlink_to(tmp_path / "unmounted")
    [told] = import_tree(engine, tmp_path / P).first_broken
    assert (told.path.name, told.problem) == ("subagents", "it is a link that leads nowhere")


SUBPATHS = ["tool-results/a", "subagents/tool-results/a", "chat", "a.jsonl/b", "subagents/agent-1"]


@pytest.mark.parametrize("with_main", [True, False])
@pytest.mark.parametrize("subpath", SUBPATHS)
def test_what_is_exported_is_imported_again(
    engine: Engine, databases: Databases, dialect: str, tmp_path: Path, subpath: str, with_main: bool
) -> None:
    repository = ClaudeSessionRepository(engine)
    key: SessionKey = {"project_key": P, "session_id": "s"}
    repository.append({**key, "subpath": subpath}, [message(1), {"type": "x"}])
    if with_main:
        repository.append(key, [message(2)])
    assert export_tree(engine, tmp_path).refused == []
    elsewhere = databases.migrated(dialect).engine()
    assert import_tree(elsewhere, tmp_path).broken == 0
    assert stored(elsewhere) == stored(engine)
    elsewhere.dispose()


def test_what_an_import_would_take_for_a_tools_output_is_not_exported(engine: Engine, tmp_path: Path) -> None:
    repository = ClaudeSessionRepository(engine)
    key: SessionKey = {"project_key": "p", "session_id": "s", "subpath": "tool-results/rows"}
    repository.append(key, [{"type": "x"}])
    repository.append({**key, "subpath": "tool-results/told"}, [{"type": "agent_metadata"}])
    refused = export_tree(engine, tmp_path).refused
    assert {item.key.get("subpath") for item in refused} == {"tool-results/rows", "tool-results/told"}
    assert all("taken for the output of a tool" in item.reason for item in refused)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_two_machines_with_one_session_make_one_transcript(engine: Engine, tmp_path: Path) -> None:
    lines = [message(number, sessionId=S, cwd="/home/you/app") for number in range(1, 5)]
    older = write(tmp_path / "desktop" / "projects" / P / f"{S}.jsonl", lines[:2])
    os.utime(older, (1_700_000_000, 1_700_000_000))
    write(tmp_path / "laptop" / "projects" / P / f"{S}.jsonl", lines)
    result = import_tree(engine, tmp_path)
    assert (result.files, result.added, result.skipped, result.broken) == (2, 4, 2, 0)
    assert stored(engine)[P, S, ""] == lines


def test_an_older_agents_tree_is_exported_as_todays(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / "from" / P / f"{S}.jsonl", main(S))
    write(tmp_path / "from" / P / "agent-a.jsonl", agents(S))
    (tmp_path / "from" / P / "agent-a.meta.json").write_text(json.dumps({"agentType": "Explore"}))
    import_tree(engine, tmp_path / "from")
    export_tree(engine, tmp_path / "to")
    key: SessionKey = {"project_key": P, "session_id": S, "subpath": "subagents/agent-a"}
    assert json.loads(file_of(tmp_path / "to", key, ".meta.json").read_text()) == {"agentType": "Explore"}
    assert file_of(tmp_path / "to", key).exists()
