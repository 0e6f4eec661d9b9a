"""A demo model for users without an API key: the tests' Messages API on loopback.

The model repeats its prompts. On "run COMMAND" it calls the Bash tool, for which the agent may ask
permission. On "background COMMAND" it does so without waiting for the command to end. On "what did I say
first?" it answers with the first prompt, which shows that a resumed chat remembers.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, say


def script(request: MessagesRequest) -> list[Block]:
    """Return the model's answer."""
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
    """Run the model and yield the environment for agents that use it."""
    with MessagesAPI(script) as api:
        yield {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": "sk-none"}
