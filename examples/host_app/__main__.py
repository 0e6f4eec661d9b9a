"""Write a chat with its session, and read them back."""

from contextlib import contextmanager
from uuid import uuid4

from .chats import busiest_chats, start_chat
from .database import session

unit_of_work = contextmanager(session)

with unit_of_work() as db:
    start_chat(
        db,
        title="Why is the sky blue?",
        session_id=str(uuid4()),
        entries=[{"type": "user", "uuid": str(uuid4()), "message": {"content": "Why is the sky blue?"}}],
    )
with unit_of_work() as db:
    for title, many in busiest_chats(db):
        print(f"{many:5} entries  {title}")
