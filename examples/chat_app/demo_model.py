"""A model for whoever has no key: the Messages API on loopback of the tests.

It repeats what it is told; on "run COMMAND" it calls the Bash tool, for which the agent may ask leave, on
"background COMMAND" without a wait for its end; on "what did I say first?" it tells, so that a chat which was
resumed shows that it remembers.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, say


def script(request: MessagesRequest) -> list[Block]:
    """What the model answers."""
    if request.answers_a_tool:
        return [say(f"It said: {request.prompt}")]
    if request.prompt.startswith("run "):
        return [say("I will run it."), call("Bash", command=request.prompt.removeprefix("run "))]
    if request.prompt.startswith("background "):
        return [call("Bash", command=request.prompt.removeprefix("background "), run_in_background=True)]
    if request.prompt == "what did I say first?":
        first = next(text for role, text in request.conversation if role == "user")
        return [say(f"First you said: {first}")]
    return [say(f"You said: {request.prompt}")]


@contextmanager
def demo_model() -> Iterator[dict[str, str]]:
    """The environment of agents that talk to it."""
    with MessagesAPI(script) as api:
        yield {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": "sk-none"}
