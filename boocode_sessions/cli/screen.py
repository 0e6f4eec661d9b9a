"""What people see goes through here: to a terminal, laid out for its width, or into a pipe as it is.

Into a pipe there is no layout engine: a line is as long as what it says, and never ends in blanks. What tools
printed may hold escape sequences; a terminal shows them, and obeys none.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

Part: TypeAlias = tuple[str, str]
"""A text, and how a terminal that has colours shows it."""

LONGEST_LAID_OUT = 50_000
"""Characters that are wrapped at words. What is longer the terminal wraps itself, at its edge: to lay out a
line of 78 MB took a minute."""


class Screen(Protocol):
    """Takes what people read, piece by piece."""

    width: int | None
    """Columns of the terminal; None where lines may be of any length."""

    def write(self, *parts: Part, indent: int = 0, cut: bool = False) -> None:
        """Show parts, one behind the other, and end the line. `cut`: on one line of the terminal."""


class Pipe:
    """A file or another program."""

    width: int | None = None

    def __init__(self, file: IO[str] | None) -> None:
        self._file = file

    def write(self, *parts: Part, indent: int = 0, cut: bool = False) -> None:  # noqa: ARG002 - the protocol's
        if self._file is None:  # the program was started without one
            return
        for line in "".join(text for text, _ in parts).split("\n"):
            self._file.write((" " * indent + line).rstrip(" \t") + "\n")


class Terminal:
    """A terminal, or the pager that shows on it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.width: int | None = console.width

    def write(self, *parts: Part, indent: int = 0, cut: bool = False) -> None:
        from rich.text import Text

        console = self._console
        room = max(console.width - indent, _LEAST_WIDTH)
        if not cut and sum(len(text) for text, _ in parts) > LONGEST_LAID_OUT:
            console.file.write("".join(text for text, _ in parts) + "\n")
            return
        whole = Text.assemble(*parts)
        if cut:
            whole.truncate(room, overflow="ellipsis")
            lines = [whole]
        else:
            lines = list(whole.wrap(console, room))
        for line in lines:
            line.rstrip()
        shown = Text("\n").join(Text(" " * indent if line.plain else "") + line for line in lines)
        console.print(shown, soft_wrap=True)


_LEAST_WIDTH = 10


def console(file: IO[str] | None = None, *, stderr: bool = False, at_terminal: bool | None = None) -> Console:
    """rich's console, for a terminal as it is."""
    from rich.console import Console, ConsoleDimensions

    made = Console(
        file=file, stderr=stderr, force_terminal=at_terminal, highlight=False, markup=False, emoji=False
    )
    if made.is_dumb_terminal:  # rich takes such a one to have 80 columns, however many it has
        made.size = ConsoleDimensions(*shutil.get_terminal_size())
    return made


def is_terminal(file: IO[str] | None) -> bool:
    """Whether somebody looks at it. Only the file knows: variables such as FORCE_COLOR speak of colours."""
    return file is not None and file.isatty()


def screen_of(file: IO[str] | None = None) -> Screen:
    """A file, by default standard output."""
    file = file or sys.stdout
    return Terminal(console(file)) if is_terminal(file) else Pipe(file)


@contextmanager
def paged() -> Generator[Screen]:
    """Standard output, through the pager when it is a terminal: PAGER, by default `less`.

    `less` ends by itself when all fits on one screen. `PAGER=cat` turns paging off; so does TERM=dumb.
    """
    words = shlex.split(os.environ.get("PAGER") or "less")
    is_dumb = os.environ.get("TERM", "") in {"", "dumb", "unknown"}
    if is_dumb or not is_terminal(sys.stdout) or words[0] == "cat" or shutil.which(words[0]) is None:
        yield screen_of()
        return
    environment = {"LESS": "FRX", "LESSCHARSET": "utf-8"} | os.environ
    width = console().width
    process = subprocess.Popen(  # noqa: S603 - the user's own pager
        words, stdin=subprocess.PIPE, env=environment, encoding="utf-8", errors="replace"
    )
    assert process.stdin is not None  # noqa: S101 - a PIPE
    try:
        with process.stdin as lines:
            through = console(lines, at_terminal=True)
            through.width = width
            yield Terminal(through)
    except BrokenPipeError:
        pass  # the reader has seen enough
    finally:
        _wait(process)


def complain(line: str) -> None:
    """One line to standard error."""
    _to_stderr(("error: ", "bold red"), (one_line(line), ""))


def say(line: str) -> None:
    """One line about what was done, to standard error: standard output is for what was asked for."""
    _to_stderr((one_line(line), ""))


def _to_stderr(*parts: Part) -> None:
    if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - None where it was closed
        sys.stdout.flush()  # where both are one pipe, what was said first comes first
    if not is_terminal(sys.stderr):
        Pipe(sys.stderr).write(*parts)
        return
    from rich.text import Text

    console(stderr=True).print(Text.assemble(*parts), soft_wrap=True)


_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_ENDS = re.compile(r"\r\n?")
_IN_ONE_LINE = re.compile(r"[\t\n\u2028\u2029]")


def clean(text: str) -> str:
    """Text that a terminal only shows: what tools printed may hold escape sequences, and half characters."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", _LINE_ENDS.sub("\n", text))


def one_line(text: str) -> str:
    """Text with names in it, on one line: a file's name may hold a line's end."""
    return _IN_ONE_LINE.sub("\N{REPLACEMENT CHARACTER}", clean(text))


def markdown_parts(text: str) -> Iterable[Part]:
    """Markdown with its marks: every character is shown, and what they stand for can be seen.

    Rendering it swallowed what only looks like a mark: `Vec<String>`, `__init__`, `0<a and b>1`.
    """
    fence = ""
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if fence or bare.startswith(("```", "~~~")):
            yield line, "cyan"
            if not fence:
                fence = bare[: len(bare) - len(bare.lstrip(bare[0]))]
            elif bare == fence:
                fence = ""
        elif _HEADING.match(line):
            yield line, "bold"
        else:
            at = 0
            for found in _MARKED.finditer(line):
                yield line[at : found.start()], ""
                yield found[0], "cyan" if found[0].startswith("`") else "bold"
                at = found.end()
            yield line[at:], ""


_HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
_MARKED = re.compile(r"`[^`\n]+`|\*\*[^*\n]+\*\*")


def _wait(process: subprocess.Popen[str]) -> None:
    while True:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue  # meant for the pager, which has seen it too
        return
