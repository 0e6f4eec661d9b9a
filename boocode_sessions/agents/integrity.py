"""Checks that a session is whole: its chains, tool results and subagents, and the agent's own files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, inspect, update

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import Session, SessionKey, check_parts
from boocode_sessions._core.tenants import TENANT_OPTION, given_project
from boocode_sessions._core.unit_of_work import UnitOfWork, run_over
from boocode_sessions.agents.models import ClaudeAgentSession
from boocode_sessions.agents.transcripts import folder_of, lines_to_import
from boocode_sessions.agents.values import get, get_list
from boocode_sessions.jsonl import import_tree
from boocode_sessions.repository import ClaudeSessionRepository

FindingKind = Literal["broken_chain", "missing_result", "missing_subagent"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a session lacks."""

    kind: FindingKind
    subpath: str
    """The transcript that refers to the missing thing; `''` for the main one."""
    id: str
    """The id of the entry whose parent is missing, of the tool use without a result, or of the subagent
    without a transcript."""
    missing: str
    """The id or the subpath that is missing."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of checking one session."""

    project_key: str
    session_id: str
    entries: int
    findings: list[Finding]
    in_files: int | None
    """The number of lines that only the agent's own files had; None if there are no files."""
    repaired: bool
    """True if those lines were imported. `findings` then lists what is still missing."""

    @property
    def is_whole(self) -> bool:
        """True if nothing is known to be missing."""
        return not self.findings and (self.repaired or not self.in_files)


@checked
def check_session(
    engine: Engine,
    project_key: str,
    session_id: str,
    *,
    files: Path | None = None,
    repair: bool = False,
    schema: str | None = None,
    encryption: Cipher | None = None,
) -> Report:
    """Find what a session lacks.

    Args:
        engine: The database. If it keeps tenants apart, the engine must work for the session's tenant.
        project_key: The session's stored project key.
        session_id: The session's id.
        files: The `projects` folder with the agent's own files.
        repair: Import the lines that the files have and the database lacks, each once.
        schema: The schema of the tables, if they are not on the connection's search path.
        encryption: The `privacy.Encryption` of the store.

    Raises:
        SessionStoreError: The session can't be read, or the lines can't be imported.
    """
    check_parts(project_key=project_key, session_id=session_id)
    in_files: int | None = None
    if files is not None:
        in_files = _compare(
            engine, project_key, session_id, files, repair=repair, schema=schema, encryption=encryption
        )
    repository = ClaudeSessionRepository(engine, schema=schema, encryption=encryption)
    session: SessionKey = {"project_key": project_key, "session_id": session_id}
    subpaths = repository.list_subkeys(session)
    findings: list[Finding] = []
    count = 0
    for subpath in ("", *subpaths):
        key: SessionKey = {**session, "subpath": subpath} if subpath else session
        entries = repository.load(key) or []
        count += len(entries)
        findings += find_missing(subpath, entries, subpaths)
    repaired = repair and in_files is not None
    if repaired and not findings:
        _mark_whole(engine, project_key, session_id, schema)
    return Report(project_key, session_id, count, findings, in_files, repaired)


def find_missing(
    subpath: str, entries: Sequence[Mapping[str, Any]], subpaths: Sequence[str]
) -> Iterator[Finding]:
    """Yield what one transcript refers to and the session does not have."""
    known = {uuid for entry in entries if isinstance(uuid := entry.get("uuid"), str)}
    for entry in entries:
        parent = entry.get("parentUuid")
        if isinstance(parent, str) and parent not in known:
            yield Finding("broken_chain", subpath, str(entry.get("uuid")), parent)
    yield from _missing_results(subpath, entries)
    if subpath:
        return
    stored = {path.rpartition("/")[2] for path in subpaths}
    for entry in entries:
        agent = get(entry.get("toolUseResult"), "agentId")
        if isinstance(agent, str) and f"agent-{agent}" not in stored:
            yield Finding("missing_subagent", subpath, agent, f"subagents/agent-{agent}")


def _missing_results(subpath: str, entries: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield tool uses without a result. Those after the agent's last text are skipped: they may still run."""
    called: dict[str, int] = {}
    answered: set[str] = set()
    last_said = 0
    for position, entry in enumerate(entries):
        for block in get_list(entry.get("message"), "content"):
            match block:
                case {"type": "tool_use", "id": str(tool_use_id)}:
                    called[tool_use_id] = position
                case {"type": "tool_result", "tool_use_id": str(tool_use_id)}:
                    answered.add(tool_use_id)
                case {"type": "text"} if entry.get("type") == "assistant":
                    last_said = position
                case _:
                    pass
    for tool_use_id, position in called.items():
        if tool_use_id not in answered and position < last_said:
            yield Finding("missing_result", subpath, tool_use_id, tool_use_id)


def _compare(
    engine: Engine,
    project_key: str,
    session_id: str,
    files: Path,
    *,
    repair: bool,
    schema: str | None,
    encryption: Cipher | None,
) -> int | None:
    """Count the lines of the agent's files that the database lacks, by the import's rule, or import them."""
    tenant: str | None = engine.get_execution_options().get(TENANT_OPTION)
    within_tenant = given_project(tenant, project_key)  # the import adds the tenant again
    folder = folder_of(files, project_key, session_id)
    if folder is None:
        return None
    with lines_to_import(files, folder, session_id) as tree:
        if tree is None:
            return None
        add_lines = partial(
            import_tree, path=tree, project_key=within_tenant, schema=schema, encryption=encryption
        )
        if repair:
            return add_lines(engine, workers=1).added
        # The connection's transaction is never committed.
        return run_over(engine, _checking(project_key, session_id), lambda it: add_lines(it).added)


def _mark_whole(engine: Engine, project_key: str, session_id: str, schema: str | None) -> None:
    def work(connection: StoreConnection) -> None:
        table = ClaudeAgentSession.__tablename__
        if inspect(connection.connection).has_table(table, schema=connection.effective_schema):
            marked = (
                update(ClaudeAgentSession)
                .where(
                    ClaudeAgentSession.project_key == project_key,
                    ClaudeAgentSession.session_id == session_id,
                )
                .values(incomplete=False)
            )
            connection.write(marked, {})

    UnitOfWork(engine, schema).write(_checking(project_key, session_id), work)


def _checking(project_key: str, session_id: str) -> str:
    return f"check {Session(project_key, session_id)}"
