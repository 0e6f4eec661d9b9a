"""A Messages API on loopback for a real agent.

The agent sends `POST /v1/messages` and reads the answer as server-sent events. A script, a function from one
request to the blocks of the reply, decides the answer. The API keeps every request, so that a test can check
what the model would have seen.

`python -m tests.e2e.messages_api` starts one and prints an agent's requests.
"""

import itertools
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self, cast

Block = dict[str, Any]
Script = Callable[["MessagesRequest"], list[Block]]

_tool_use_ids = (f"toolu_{n:06d}" for n in itertools.count(1))
_message_ids = (f"msg_{n:06d}" for n in itertools.count(1))


def say(text: str) -> Block:
    """Return a text block."""
    return {"type": "text", "text": text}


def call(tool: str, /, **arguments: object) -> Block:
    """Return a block that asks the agent to run a tool."""
    return {"type": "tool_use", "id": next(_tool_use_ids), "name": tool, "input": arguments}


@dataclass(frozen=True)
class MessagesRequest:
    """One request, as the agent sent it."""

    body: dict[str, Any]
    session_id: str
    agent_id: str | None
    """The id of the calling subagent; None for the main conversation."""

    @property
    def kind(self) -> Literal["main", "subagent", "side"]:
        """The caller. A side request, such as for a title, offers no tools and isn't part of a transcript."""
        if not self.body.get("tools"):
            return "side"
        return "subagent" if self.agent_id else "main"

    @property
    def conversation(self) -> list[tuple[str, str]]:
        """(role, text) for each message, tool call and result, without the agent's own reminders."""
        return [
            (message["role"], text)
            for message in self.body["messages"]
            if message["role"] in {"user", "assistant"}
            for block in _blocks(message["content"])
            if not (text := _spoken(block)).startswith("<system-reminder>")
        ]

    @property
    def prompt(self) -> str:
        """The last text: the user's words, or a tool's output."""
        return self.conversation[-1][1]

    @property
    def answers_a_tool(self) -> bool:
        """True if this request returns the output of a tool that the previous reply called."""
        spoken = [message for message in self.body["messages"] if message["role"] in {"user", "assistant"}]
        return any(block["type"] == "tool_result" for block in _blocks(spoken[-1]["content"]))


def _blocks(content: str | list[Block]) -> list[Block]:
    return [say(content)] if isinstance(content, str) else content


def _spoken(block: Block) -> str:
    match block["type"]:
        case "text":
            return str(block["text"])
        case "tool_use":
            return f"{block['name']} {json.dumps(block['input'], sort_keys=True)}"
        case "tool_result":
            return "".join(_spoken(part) for part in _blocks(block.get("content", "")))
        case other:
            return f"<{other}>"


class RefusedError(Exception):
    """Raise it in a script to let the API answer with an error."""

    def __init__(self, status: int, kind: str) -> None:
        super().__init__(kind)
        self.status = status
        self.kind = kind


def echo(request: MessagesRequest) -> list[Block]:
    """Echo the prompt. The default script."""
    return [say(f"You said: {request.prompt}")]


class MessagesAPI:
    """The server, a context manager. On exit it raises failures of its threads, such as a script's error."""

    def __init__(self, script: Script = echo) -> None:
        self.script = script
        self.requests: list[MessagesRequest] = []
        self._failures: list[BaseException] = []
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """The value for ANTHROPIC_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def last(self) -> MessagesRequest:
        """The newest request of a main conversation."""
        return next(request for request in reversed(self.requests) if request.kind == "main")

    def reply(self, request: MessagesRequest) -> list[Block]:
        """Keep a request, and return the blocks of its answer."""
        self.requests.append(request)
        return [say("A title")] if request.kind == "side" else self.script(request)

    def failed(self, failure: BaseException) -> None:
        """Keep a failure of a server thread, to raise it where the test sees it."""
        self._failures.append(failure)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self._failures and error is None:
            raise self._failures[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for the threads, so none outlives the test

    def __init__(self, api: MessagesAPI) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's types
        failure = sys.exception()
        if failure is not None and not isinstance(
            failure, ConnectionError
        ):  # an agent may hang up at any time
            self.api.failed(failure)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    """Seconds after which a silent keep-alive connection ends its thread."""

    def do_HEAD(self) -> None:
        self._empty(200)

    def do_GET(self) -> None:
        self._empty(404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.partition("?")[0] != "/v1/messages":
            self._empty(404)
            return
        request = MessagesRequest(
            body, self.headers["x-claude-code-session-id"], self.headers["x-claude-code-agent-id"]
        )
        try:
            blocks = cast("_Server", self.server).api.reply(request)
        except RefusedError as refused:
            self._refuse(refused)
            return
        except BaseException:
            self._empty(400)  # not 500, which the agent would retry forever
            raise
        if not body.get("stream"):
            self._json(200, _whole(str(body["model"]), blocks))
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in _events(str(body["model"]), blocks):
            chunk = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, refused: RefusedError) -> None:
        error = {"type": refused.kind, "message": "The reason, with a secret."}
        self._json(refused.status, {"type": "error", "error": error})

    def _json(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _empty(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


def _whole(model: str, blocks: list[Block]) -> dict[str, Any]:
    """Return an unstreamed message. The agent requests one to check that a model exists."""
    *_, end, _ = events = list(_events(model, blocks))
    message: dict[str, Any] = {**events[0]["message"], **end["delta"], "content": blocks}
    message["usage"] = {**message["usage"], **end["usage"]}
    return message


def _events(model: str, blocks: list[Block]) -> Iterator[dict[str, Any]]:
    """Yield the events of one streamed message. Its usage grows, as the real API's does."""
    start: dict[str, Any] = {
        "id": next(_message_ids),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            empty, delta = say(""), {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    calls = any(block["type"] == "tool_use" for block in blocks)
    stop = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 12}}
    yield {"type": "message_stop"}


def _show() -> None:
    def tell(request: MessagesRequest) -> list[Block]:
        sys.stdout.write(f"\n{request.kind} {request.session_id} {request.agent_id or ''}\n")
        sys.stdout.writelines(f"  {role}: {text}\n" for role, text in request.conversation)
        return echo(request)

    with MessagesAPI(tell) as api:
        sys.stdout.write(f"ANTHROPIC_BASE_URL={api.url}\nEnter ends it.\n")
        sys.stdin.readline()


if __name__ == "__main__":
    _show()
