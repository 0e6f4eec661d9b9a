"""A process that writes to an encrypted store while another one rotates its keys."""

from multiprocessing.synchronize import Event

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions.engine import create_engine
from boocode_sessions.privacy import Encryption

BATCHES = 30


def key_of(writer: str) -> SessionKey:
    """Return the key of a writer's session."""
    return {"project_key": "p", "session_id": writer}


def line(writer: str, number: int) -> dict[str, object]:
    """Return a line. Every second one has a uuid."""
    uuid = {"uuid": f"{writer}-{number}"} if number % 2 else {}
    return {
        "type": "user",
        **uuid,
        "message": {"role": "user", "content": f"secret words of {writer}: {number}"},
    }


def write(url: str, writer: str, keys: str, mode: str, begun: Event) -> None:
    """Append batch after batch. Set `begun` after the first one."""
    engine = create_engine(url)
    encryption = Encryption(keys.split(","), reads_plain=mode == "plain")
    repository = ClaudeSessionRepository(engine, encryption=encryption)
    for number in range(BATCHES):
        repository.append(key_of(writer), [line(writer, number)])
        repository.append(key_of("shared"), [line(writer, number)])
        if number == 0:
            begun.set()
    engine.dispose()
