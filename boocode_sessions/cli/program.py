"""The program: its commands, its global options, and its handling of errors."""

import inspect
import io
import os
import re
import signal
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from boocode_sessions.cli import INTERRUPTED, clock, leave
from boocode_sessions.cli.clock import TimezoneOption
from boocode_sessions.cli.database import SchemaOption, UrlOption, Where, one_line, opened
from boocode_sessions.cli.screen import complain, is_terminal


class Panel(StrEnum):
    """The panels in which the help lists commands, in their order."""

    set_up = "Set up"
    move = "Move"
    ask = "Ask"
    read = "Read"
    tidy_up = "Tidy up"


def _without_pydantic(parameters: list[Any]) -> list[Any]:
    """Make parameters keep values that have the command's type already.

    For every other value typer imports pydantic, which is a sixth of the processor time of `list`. It also
    keeps the help from saying that a flag is a bool and an argument a str.
    """
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) or parameter.param_type_name == "argument":
            parameter.display_type_rich = _nothing
        if "process_value" not in vars(parameter):
            parameter.process_value = partial(_process_value, parameter, parameter.process_value)
    return parameters


def _nothing(ctx: Any) -> None:  # noqa: ANN401 - typer's signature
    """Replaces the type in typer's help."""


def _process_value(parameter: Any, process: Callable[..., Any], ctx: Any, value: Any) -> Any:  # noqa: ANN401 - click's
    wanted = getattr(parameter, "type_descriptor", None)  # typer's own
    is_text = (
        type(value) is str
        and wanted is not None
        and wanted.annotation is str
        and wanted.parameter_info.parser is None
    )
    is_default = type(value) is int and value is parameter.default
    as_it_is = is_text or is_default or (value is None and not parameter.required)
    if parameter.multiple or parameter.nargs != 1 or not as_it_is:
        return process(ctx, value)
    return value if parameter.callback is None else parameter.callback(ctx, parameter, value)


class _Helpful:
    """Prints help into a pipe without boxes, and has parameters that save an import."""

    rich_markup_mode: Any

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - click's signature
        return _without_pydantic(super().get_params(ctx))  # type: ignore[misc]

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's signature
        piped = not is_terminal(sys.stdout)
        if piped:
            self.rich_markup_mode = None
        super().format_help(ctx, formatter)  # type: ignore[misc]
        if piped:  # a blank stays at the end of a line where a long usage was broken
            formatter.buffer = [re.sub(r" +$", "", formatter.getvalue(), flags=re.MULTILINE)]


class Command(_Helpful, TyperCommand):
    """One command. It can complete values that begin with a dash."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - click's signature
        ctx.meta[_BEFORE] = [word for word in args[-2:] if word != "="][-1:]  # bash splits at an equals sign
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:  # noqa: ANN401 - click's signature
        """Complete a value after its option: click takes `-home-you` for an option, not for a project key."""
        for parameter in self.get_params(ctx):
            takes_value = not (getattr(parameter, "is_flag", False) or getattr(parameter, "count", False))
            if takes_value and {*ctx.meta[_BEFORE]} & {*parameter.opts}:
                return parameter.shell_complete(ctx, incomplete)
        return super().shell_complete(ctx, incomplete)


class Program(_Helpful, TyperGroup):
    """Answers every error that a person can fix with one line and exit status 2."""

    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - click's signature
        extra["standalone_mode"] = False
        clock.use_local()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # shows ? for characters that its encoding lacks
                stream.reconfigure(errors="replace")
        try:
            code = super().main(*args, **extra)
        except typer.Abort:
            code = INTERRUPTED
        except Exception as error:
            line = one_line(error)
            if line is None:
                raise
            try:
                complain(line)
            except BrokenPipeError:
                _reader_went_away()
            code = 2
        raise SystemExit(code or 0)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's signature
        try:
            if signal.getsignal(signal.SIGINT) is leave:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            done = super().invoke(ctx)
            if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - closed by the caller
                sys.stdout.flush()
        except BrokenPipeError:
            raise SystemExit(_reader_went_away()) from None
        return done


_BEFORE = "boocode_sessions.before"
"""The key under which a command's context keeps the word before the one that is completed."""

_PIPE_CLOSED = 141
"""The exit status that a shell reports for a program that SIGPIPE ended."""


def _reader_went_away() -> int:
    """Drop buffered output that has no reader, as in `boocode-sessions list | head -1`: it is no error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    return _PIPE_CLOSED


app = typer.Typer(
    cls=Program,
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            version = installed_version("boocode-sessions")
        except PackageNotFoundError:
            version = "from a source tree that is not installed"
        typer.echo(f"boocode-sessions {version}")
        raise typer.Exit


@app.callback()
def program(
    ctx: typer.Context,
    url: UrlOption = None,
    schema: SchemaOption = None,
    timezone: TimezoneOption = None,  # noqa: ARG001 - its callback takes it
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Keep Claude Agent SDK sessions in your own database, and ask them questions.

    The database is --url, else BOOCODE_SESSIONS_URL, else a SQLite file in your data folder.
    """
    ctx.obj = Where(url, schema)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help(), nl=False)


def over_database(
    name: str, *, panel: Panel, may_create: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function the command `name`. Its first parameter gets the Database that --url and --schema name.

    `may_create` lets the command make a SQLite file that does not exist.
    """

    def make(function: Callable[..., None]) -> Callable[..., None]:
        def command(
            ctx: typer.Context,
            url: str | None,
            schema: str | None,
            timezone: str | None,  # noqa: ARG001 - its callback has taken it
            **arguments: Any,  # noqa: ANN401 - the command's own
        ) -> None:
            before = ctx.find_object(Where) or Where()
            with opened(url or before.url, schema or before.schema, may_create=may_create) as database:
                function(database, **arguments)

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY
        shared = [
            inspect.Parameter("ctx", keyword, annotation=typer.Context),
            inspect.Parameter("url", keyword, default=None, annotation=UrlOption),
            inspect.Parameter("schema", keyword, default=None, annotation=SchemaOption),
            inspect.Parameter("timezone", keyword, default=None, annotation=TimezoneOption),
        ]
        parameters = [parameter.replace(kind=keyword) for parameter in own] + shared
        command.__doc__ = function.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, cls=Command, rich_help_panel=panel)(command)
        return function

    return make
