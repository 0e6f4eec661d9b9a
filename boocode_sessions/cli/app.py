"""The whole program: importing it adds every command."""

from boocode_sessions.cli import asking, checking, encrypting, moving, reading, removing, setting_up
from boocode_sessions.cli.program import Panel, app

__all__ = ["app", "asking", "checking", "encrypting", "moving", "reading", "removing", "setting_up"]

_order = list(Panel)
app.registered_commands.sort(key=lambda command: _order.index(Panel(str(command.rich_help_panel))))
