"""Writes what people see: to a terminal, laid out for its width, or into a pipe as it is.

Lines in a pipe have any length and never end in blanks. The output of tools may hold escape sequences: the
terminal shows them and obeys none.
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
"""A text and its style in a terminal with colors."""

MAX_LAID_OUT_CHARS = 50_000
"""Maximum characters of a text that is wrapped at words. The terminal itself wraps longer ones at its edge,
because laying out a line of 78 MB took a minute."""


class Screen(Protocol):
    """Shows text to people, piece by piece."""

    width: int | None
    """Columns of the terminal; None if lines may have any length."""

    def write(self, *parts: Part, indent: int = 0, cut: bool = False) -> None:
        """Show parts one after the other and end the line. `cut` fits them into one line of the terminal."""


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
        if not cut and sum(len(text) for text, _ in parts) > MAX_LAID_OUT_CHARS:
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
    """Return rich's console with the terminal's real width."""
    from rich.console import Console, ConsoleDimensions

    made = Console(
        file=file, stderr=stderr, force_terminal=at_terminal, highlight=False, markup=False, emoji=False
    )
    if made.is_dumb_terminal:  # rich takes any such terminal to have 80 columns
        made.size = ConsoleDimensions(*shutil.get_terminal_size())
    return made


def is_terminal(file: IO[str] | None) -> bool:
    """True if somebody looks at the file. Only the file knows: FORCE_COLOR and the like are about colors."""
    return file is not None and file.isatty()


def screen_of() -> Screen:
    """Return the Screen of standard output."""
    return Terminal(console(sys.stdout)) if is_terminal(sys.stdout) else Pipe(sys.stdout)


@contextmanager
def paged() -> Generator[Screen]:
    """Return a Screen for standard output. For a terminal it goes through PAGER, by default `less`.

    `less` ends by itself if everything fits on one screen. `PAGER=cat` turns paging off, and so does
    TERM=dumb.
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
    """Print an error as one line on standard error."""
    _to_stderr(("error: ", "bold red"), (one_line(line), ""))


def say(line: str) -> None:
    """Print a line about what was done on standard error: standard output is for the results."""
    _to_stderr((one_line(line), ""))


def _to_stderr(*parts: Part) -> None:
    if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - None if it was closed
        sys.stdout.flush()  # keeps the order if both are one pipe
    if not is_terminal(sys.stderr):
        Pipe(sys.stderr).write(*parts)
        return
    from rich.text import Text

    console(stderr=True).print(Text.assemble(*parts), soft_wrap=True)


_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_ENDS = re.compile(r"\r\n?")
_IN_ONE_LINE = re.compile(r"[\t\n\u2028\u2029]")


def clean(text: str) -> str:
    """Return text that a terminal only shows: tools' output may hold escape sequences and lone surrogates."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", _LINE_ENDS.sub("\n", text))


def one_line(text: str) -> str:
    """Return text on one line: names in it, such as a file's, may hold line ends."""
    return _IN_ONE_LINE.sub("\N{REPLACEMENT CHARACTER}", clean(text))


def markdown_parts(text: str) -> Iterable[Part]:
    """Yield Markdown with styles, and with all its marks.

    Rendering it swallowed text that only looks like a mark: `Vec<String>`, `__init__`, `0<a and b>1`.
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
            continue  # it was meant for the pager, which got it too
        return
