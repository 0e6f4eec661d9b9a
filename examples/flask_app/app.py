"""Chats with an agent, for many users: `flask --app flask_app.app run`."""

import asyncio
import os
import shutil
from functools import cache
from pathlib import Path
from uuid import uuid4

from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, query
from flask import Flask, abort, current_app, g, jsonify, request
from flask.typing import ResponseReturnValue
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from boocode_sessions import ClaudeSessionRepository, migrations, queries
from boocode_sessions.sdk import SQLAlchemySessionStore


class Base(DeclarativeBase):
    """The application's own base. It does not include our tables."""


db = SQLAlchemy(model_class=Base)


class Chat(db.Model):  # type: ignore[name-defined, misc]
    """One chat of a user. Its id is also its session's id."""

    __tablename__ = "chats"

    id: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(index=True)
    title: Mapped[str]


def create_app(**config: object) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("DATABASE_URL", "sqlite:///flask_app.db")
    app.config["TOKENS"] = {"ada-token": "ada", "bob-token": "bob"}  # replace with your own login
    app.config["WORKSPACE"] = str(Path.cwd())
    app.config["AGENT_FILES"] = str(Path.cwd() / "agent_files")
    app.config.update(config)
    db.init_app(app)
    folder = Path(__file__).parent / "migrations"
    Migrate(app, db, directory=str(folder), include_name=migrations.ignore_owned())
    app.before_request(log_in)
    app.post("/chats")(start)
    app.get("/chats")(chats)
    app.get("/chats/<chat_id>")(read)
    app.post("/chats/<chat_id>/prompts")(answer)
    app.get("/sessions")(sessions)
    app.delete("/me")(leave)
    return app


def log_in() -> None:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    g.user = current_app.config["TOKENS"].get(token) or abort(401)


@cache
def store_of(engine: Engine, user: str) -> SQLAlchemySessionStore:
    """Return the user's store, made once. All agents work in one folder: only its key tells users apart."""
    return SQLAlchemySessionStore(engine, project_key=project_key_of(user))


def project_key_of(user: str) -> str:
    """Return the user's project key. The user comes from the login, never from a request."""
    return f"user-{user}"


def agent_files() -> Path:
    """Return the folder of the agents' own files, one for each session, which is the user's alone."""
    return Path(current_app.config["AGENT_FILES"], g.user)


def own_chat(chat_id: str) -> Chat:
    """Return a chat of this user. Another user's chat gives 404."""
    chat = db.session.get(Chat, chat_id)
    return chat if chat is not None and chat.user == g.user else abort(404)


def start() -> ResponseReturnValue:
    chat = Chat(id=str(uuid4()), user=g.user, title=request.get_json()["title"])
    db.session.add(chat)
    db.session.commit()
    return jsonify(id=chat.id, title=chat.title)


def chats() -> ResponseReturnValue:
    found = db.session.scalars(select(Chat).where(Chat.user == g.user).order_by(Chat.title))
    return jsonify([{"id": chat.id, "title": chat.title} for chat in found])


def sessions() -> ResponseReturnValue:
    """Return the sessions of the user's agents: titles, counts, times."""
    return jsonify(queries.sessions(db.session, project_key=project_key_of(g.user)))


def read(chat_id: str) -> ResponseReturnValue:
    """Return the chat's conversation, as a resume would see it."""
    chat = own_chat(chat_id)
    key = project_key_of(g.user)
    if ClaudeSessionRepository(db.session).load({"project_key": key, "session_id": chat.id}) is None:
        return jsonify([])
    said = queries.conversation(db.session, chat.id, project_key=key)
    return jsonify([{"role": message.role, "text": message.text} for message in said])


def answer(chat_id: str) -> ResponseReturnValue:
    """Run a turn of the agent and return its answer."""
    chat = own_chat(chat_id)
    key = {"project_key": project_key_of(g.user), "session_id": chat.id}
    began = ClaudeSessionRepository(db.session).load(key) is not None
    db.session.commit()  # a turn is long, so hold no transaction meanwhile
    options = ClaudeAgentOptions(
        cwd=current_app.config["WORKSPACE"],
        session_store=store_of(db.engine, g.user),
        session_store_flush="eager",  # store each line as it comes, so that a process that dies loses no turn
        resume=chat.id if began else None,
        session_id=None if began else chat.id,
        setting_sources=[],
        tools=[],  # agents that share a folder would share its files
        env={"CLAUDE_CONFIG_DIR": str(agent_files())},
    )
    return jsonify(text=asyncio.run(turn(request.get_json()["prompt"], options)))


async def turn(prompt: str, options: ClaudeAgentOptions) -> str:
    said = ""
    async for message in query(prompt=prompt, options=options):
        if isinstance(message, ResultMessage):
            said = message.result or ""
    return said


def leave() -> ResponseReturnValue:
    """Delete everything of the user in one transaction, and then the agents' files."""
    key = project_key_of(g.user)
    found = queries.sessions(db.session, project_key=key, limit=None)
    repository = ClaudeSessionRepository(db.session)
    for session in found:
        repository.delete({"project_key": key, "session_id": session.session_id})
    for chat in db.session.scalars(select(Chat).where(Chat.user == g.user)):
        db.session.delete(chat)
    db.session.commit()
    shutil.rmtree(agent_files(), ignore_errors=True)
    return jsonify(sessions=len(found))
