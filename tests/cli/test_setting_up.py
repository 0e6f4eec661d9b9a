"""upgrade, status, and the database that commands work on."""

import json
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import insert, make_url

from boocode_sessions import ClaudeSessionEntry, ClaudeSessionRepository, SchemaError, migrations
from boocode_sessions.cli.database import default_url, readable
from boocode_sessions.engine import create_engine
from boocode_sessions.migrations import host
from boocode_sessions.models import SCHEMA_VERSION
from boocode_sessions.status import holdings
from tests.cli.conftest import NAMES_AS_WRITTEN, Terminal
from tests.cli.test_documented import json_keys
from tests.fixtures.databases import Database, Databases


def test_upgrade_makes_the_schema_and_says_so(empty_terminal: Terminal) -> None:
    first = empty_terminal.run("upgrade")
    assert (first.status, first.out) == (0, "")
    assert first.err.endswith(f"is at schema version {SCHEMA_VERSION} now.\n")
    assert empty_terminal.run("upgrade").err.endswith(f"is at schema version {SCHEMA_VERSION} already.\n")


def test_status_of_a_database_without_our_tables_names_the_command(empty_terminal: Terminal) -> None:
    empty_terminal.run("upgrade")
    if empty_terminal.database.dialect == "sqlite":
        empty_terminal.env["BOOCODE_SESSIONS_URL"] += ".other"
        sqlite3.connect(empty_terminal.env["BOOCODE_SESSIONS_URL"].removeprefix("sqlite:///")).close()
    else:
        empty_terminal.env["BOOCODE_SESSIONS_SCHEMA"] = "elsewhere"
    done = empty_terminal.run("status")
    assert done.status == 2
    assert "schema version  none" in done.out
    assert "error: the database has no tables of ours: run `boocode-sessions upgrade" in done.err


def test_status_counts_what_is_there(demo_anywhere: Terminal) -> None:
    status = demo_anywhere.run("status", "--json").json
    assert status["found"] == status["needed"] == SCHEMA_VERSION
    assert status["pending"] == []
    holds = status["holds"]
    assert (holds["projects"], holds["sessions"], holds["transcripts"]) == (1, 3, 4)
    assert (holds["unplaced"], holds["held"], holds["stale_summaries"]) == (0, 0, 0)
    assert holds["behind"] == holds["sessions"]
    assert holds["entries"] > 20
    assert holds["bytes"] > 10_000
    assert holds["oldest"] <= holds["newest"]


def test_status_counts_other_writers_rows_and_the_summaries_that_they_leave_behind(
    demo_anywhere: Terminal,
) -> None:
    engine = demo_anywhere.database.engine()
    with engine.begin() as connection:
        for project, session in (("-home-you-weather", _newest(demo_anywhere)), ("p", "seed")):
            row = {"project_key": project, "session_id": session, "entry": {"type": "user"}}
            connection.execute(insert(ClaudeSessionEntry).values(row))
    engine.dispose()
    holds = demo_anywhere.run("status", "--json").json["holds"]
    assert (holds["sessions"], holds["unplaced"], holds["stale_summaries"]) == (4, 2, 2)


def test_status_has_the_documented_keys(demo: Terminal) -> None:
    assert set(demo.run("status", "--json").json) == json_keys("status")


def test_the_url_may_stand_before_or_after_the_command(demo: Terminal) -> None:
    url = demo.env.pop("BOOCODE_SESSIONS_URL")
    before, after = demo.run("--url", url, "status"), demo.run("status", "--url", url)
    assert before.status == after.status == 0
    assert before.out == after.out


def test_without_a_url_the_database_is_in_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("BOOCODE_SESSIONS_URL", raising=False)
    terminal = Terminal(Database("sqlite", str(default_url())))
    terminal.env.pop("BOOCODE_SESSIONS_URL")
    missing = terminal.run("list")
    assert missing.status == 2
    assert "run `boocode-sessions upgrade` to make it" in missing.err
    other = terminal.run("--url", f"sqlite:///{tmp_path}/other.db", "list")
    assert other.status == 2
    assert "run `boocode-sessions upgrade`, with the same URL, to make it" in other.err
    assert not list(tmp_path.rglob("*"))
    assert terminal.run("upgrade").status == 0
    assert terminal.run("status").status == 0


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "you:secret@host/name",
        "mysql://you:secret@127.0.0.1:1/x",
        "nosuch://you:secret@127.0.0.1:1/x",
        "postgresql://you:secret@127.0.0.1:1/x",
        "postgresql+asyncpg://you:secret@127.0.0.1:1/x",
        "postgresql://you:secret@127.0.0.1:notaport/x",
        "sqlite:////dev/null/x.db",
        "sqlite+aiosqlite:///x.db",
    ],
)
def test_a_url_that_leads_nowhere_is_one_line_without_its_password(demo: Terminal, url: str) -> None:
    done = demo.run("status", "--url", url)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert "secret" not in done.err


@pytest.mark.parametrize(
    ("driver", "other"),
    [
        ("sqlite:", "sqlite+aiosqlite:"),
        ("sqlite:", "sqlite+pysqlite:"),
        ("postgresql+psycopg:", "postgresql+asyncpg:"),
        ("postgresql+psycopg:", "postgresql+psycopg_async:"),
        ("postgresql+psycopg:", "postgresql+psycopg2:"),
        ("postgresql+psycopg:", "postgres:"),
    ],
)
def test_an_applications_url_works_whatever_its_driver(
    demo_anywhere: Terminal, driver: str, other: str
) -> None:
    url = demo_anywhere.database.url
    if not url.startswith(driver):
        pytest.skip("for the other database")
    assert len(demo_anywhere.run("list", "--json", "--url", url.replace(driver, other, 1)).json) == 3


def test_the_password_is_shown_nowhere(demo: Terminal) -> None:
    url = demo.database.url.replace("sqlite:///", "sqlite:///file:") + "?mode=rwc&uri=true&password=secret"
    assert "secret" not in demo.run("status", "--url", url).err


def test_a_file_that_is_no_database_is_said(demo: Terminal, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(
        "not a database, but long enough to be read as the header of one\n" * 50
    )
    done = demo.run("status", "--url", f"sqlite:///{tmp_path / 'notes.txt'}")
    assert done.status == 2
    assert "the file is no SQLite database" in done.err


def test_the_demo_leaves_nothing_behind_unless_a_file_is_named(demo: Terminal, tmp_path: Path) -> None:
    tour = demo.run("demo", str(tmp_path / "kept.db"))
    assert tour.status == 0
    assert "Take an umbrella." in tour.out or "Porto" in tour.out
    assert len(demo.run("list", "--json", "--url", f"sqlite:///{tmp_path / 'kept.db'}").json) == 3
    again = demo.run("demo", str(tmp_path / "kept.db"))
    assert (again.status, again.err.count("\n")) == (2, 1)


def _newest(terminal: Terminal) -> str:
    return str(terminal.run("list", "--json", "--limit", "1").json[0]["session_id"])


def test_upgrade_prints_the_sql_when_asked(empty_terminal: Terminal) -> None:
    script = empty_terminal.run("upgrade", "--sql")
    assert script.status == 0
    assert "CREATE TABLE" in script.out
    assert "claude_session_entries" in script.out
    assert empty_terminal.run("status").status == 2


def test_upgrade_makes_the_tables_in_a_schema(databases: Databases) -> None:
    terminal = Terminal(databases.empty("postgresql"))
    assert terminal.run("upgrade", "--schema", "sessions").status == 0
    assert terminal.run("status", "--schema", "sessions", "--json").json["holds"]["entries"] == 0
    done = terminal.run("status")
    assert (done.status, done.err) == (
        2,
        (
            "error: the database has no tables of ours: run `boocode-sessions upgrade`, "
            "or give `--schema sessions`, where they are\n"
        ),
    )


def test_upgrade_can_prepare_first(empty_terminal: Terminal) -> None:
    assert empty_terminal.run("upgrade").status == 0
    assert empty_terminal.run("upgrade", "--prepare").status == 0


def test_an_unknown_version_is_one_line(empty_terminal: Terminal) -> None:
    done = empty_terminal.run("upgrade", "--to", "9999")
    assert (done.status, done.err.count("\n")) == (2, 1)


def test_an_upgrade_does_not_lead_down(empty_terminal: Terminal) -> None:
    assert empty_terminal.run("upgrade").status == 0
    done = empty_terminal.run("upgrade", "--to", "base")
    assert (done.status, done.out) == (2, "")
    assert "an upgrade does not lead to 'base'" in done.err


def test_a_schema_on_sqlite_is_no_circle(tmp_path: Path) -> None:
    terminal = Terminal(Database("sqlite", f"sqlite:///{tmp_path / 'sessions.db'}"))
    assert terminal.run("upgrade").status == 0
    for command in ("status", "list", "upgrade"):
        done = terminal.run(command, "--schema", "abc")
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert "SQLite has no schema 'abc': give none" in done.err


def test_a_host_revision_is_written_into_the_hosts_own_chain(demo: Terminal, tmp_path: Path) -> None:
    config = tmp_path / "alembic.ini"
    config.write_text("[alembic]\nscript_location = %(here)s/chain\n")
    versions = tmp_path / "chain" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "chain" / "env.py").write_text("")
    (tmp_path / "chain" / "script.py.mako").write_text(
        '"""${message}"""\nrevision = ${repr(up_revision)}\ndown_revision = ${repr(down_revision)}\n'
        "${imports}\ndef upgrade():\n    ${upgrades}\ndef downgrade():\n    ${downgrades}\n"
    )
    done = demo.run("host-revision", "--config", str(config))
    assert done.status == 0, done.err
    assert "migrations.host.upgrade" in Path(done.out.strip()).read_text()


def test_a_host_without_alembic_is_one_line(demo: Terminal, tmp_path: Path) -> None:
    done = demo.run("host-revision", "--config", str(tmp_path / "alembic.ini"))
    assert (done.status, done.err.count("\n")) == (2, 1)


def test_backfill_places_and_folds_what_other_writers_left(demo_anywhere: Terminal) -> None:
    engine = demo_anywhere.database.engine()
    with engine.begin() as connection:
        row = {"project_key": "p", "session_id": "seed", "entry": {"type": "user", "uuid": "u"}}
        connection.execute(insert(ClaudeSessionEntry).values(row))
    engine.dispose()
    done = demo_anywhere.run("backfill", "--json")
    assert done.json == {"placed": 1, "folded": 1}
    assert set(done.json) == json_keys("backfill")
    holds = demo_anywhere.run("status", "--json").json["holds"]
    assert (holds["unplaced"], holds["stale_summaries"]) == (0, 0)
    assert demo_anywhere.run("backfill").out == "0 entries placed, 0 sessions folded\n"


def test_adopt_copies_the_reference_adapters_table(databases: Databases) -> None:
    terminal = Terminal(databases.migrated("postgresql"))
    assert terminal.run("adopt").status == 2
    engine = terminal.database.engine()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE claude_session_store (project_key text NOT NULL, session_id text NOT NULL, "
            "subpath text NOT NULL DEFAULT '', seq bigserial, entry jsonb NOT NULL, mtime bigint NOT NULL, "
            "PRIMARY KEY (project_key, session_id, subpath, seq))"
        )
        connection.exec_driver_sql(
            "INSERT INTO claude_session_store (project_key, session_id, entry, mtime) "
            """VALUES ('p', 's', '{"type": "user", "uuid": "u"}', 1700000000000)"""
        )
    engine.dispose()
    done = terminal.run("adopt", "--json")
    assert done.json == {"copied": 1, "known": 0, "left": []}
    assert set(done.json) == json_keys("adopt")
    assert terminal.run("adopt").out == "0 entries copied, 1 known before\n"


def test_upgrade_makes_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    before = os.umask(0o022)
    try:
        terminal = Terminal(Database("sqlite", f"sqlite:///{path}"))
        assert terminal.run("upgrade").status == 0
        engine = create_engine(terminal.database.url)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE another (id INTEGER)")
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        engine.dispose()
    finally:
        os.umask(before)
    assert modes == {"mine.db": 0o600, "mine.db-wal": 0o600, "mine.db-shm": 0o600}


@pytest.mark.parametrize("name", ["plain.db", "file:uri.db?uri=true", "file::memory:?uri=true", ":memory:"])
def test_engines_make_files_for_their_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = create_engine(f"sqlite:///{name}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE one (id INTEGER)")
    engine.dispose()
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} <= {0o600}
    assert bool(list(tmp_path.iterdir())) == (name in {"plain.db", "file:uri.db?uri=true"})


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    path.touch(mode=0o640)
    path.chmod(0o640)
    assert Terminal(Database("sqlite", f"sqlite:///{path}")).run("upgrade").status == 0
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("schema", ["my Schema", "UPPER", 'a"b', "select", "a.b", "ünï", "a :b", ":c"])
def test_status_works_in_a_schema_that_needs_quotes(databases: Databases, schema: str) -> None:
    database = databases.empty("postgresql")
    terminal = Terminal(database)
    assert terminal.run("upgrade", "--schema", schema).status == 0
    status = terminal.run("status", "--schema", schema, "--json")
    assert status.status == 0
    assert status.json["holds"]["bytes"] > 0
    engine = database.engine().execution_options(schema_translate_map={None: schema})
    assert holdings(engine).bytes == status.json["holds"]["bytes"]
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////tmp/%C3%BCn%20%E6%BC%A2/x.db", "sqlite:////tmp/ün 漢/x.db"),
        ("sqlite:////tmp/100%25%3F%23.db", "sqlite:////tmp/100%25%3F%23.db"),
        ("postgresql://j%C3%BC:***@host/d?host=%2Ftmp", "postgresql://jü:***@host/d?host=/tmp"),
    ],
)
def test_a_url_is_shown_with_letters_and_stays_one(url: str, shown: str) -> None:
    if url.startswith("sqlite") and NAMES_AS_WRITTEN:
        shown = url
    assert readable(make_url(url)) == shown
    assert make_url(readable(make_url(url))) == make_url(url)


def test_status_names_the_schema_that_has_our_tables(databases: Databases) -> None:
    database = databases.empty("postgresql")
    migrations.upgrade(database.url, schema="our app")
    done = Terminal(database).run("status")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "or give `--schema 'our app'`, where they are" in done.err
    databases.drop(database)


def test_flask_migrates_ini_is_found(tmp_path: Path) -> None:
    ini = tmp_path / "migrations" / "alembic.ini"
    ini.parent.mkdir()
    ini.touch()
    assert host.find_ini(tmp_path / "alembic.ini") == ini
    with pytest.raises(SchemaError, match=r"name the alembic\.ini of the application"):
        host.find_ini(tmp_path / "other.ini")


def test_status_goes_on_and_tells_what_is_new(demo: Terminal) -> None:
    program = demo.start("status", "--watch", "--every", "0.1", "--json")
    assert program.stdout is not None
    first = json.loads(program.stdout.readline())
    engine = demo.database.engine()
    ClaudeSessionRepository(engine).append({"project_key": "p", "session_id": "new"}, [{"type": "user"}] * 3)
    engine.dispose()
    looks = (json.loads(line) for line in program.stdout)
    assert any(look["entries"] == first["entries"] + 3 for look in looks)
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=30)
    assert program.returncode == 0
    table = demo.start("status", "--watch", "--every", "0.1")
    assert table.stdout is not None
    header, line = table.stdout.readline(), table.stdout.readline()
    assert header.split() == ["time", "sessions", "entries", "new", "size", "unplaced", "stale", "behind"]
    assert f"{first['entries'] + 3:,}" in line.split()
    table.send_signal(signal.SIGINT)
    table.communicate(timeout=30)
    assert table.returncode == 0
