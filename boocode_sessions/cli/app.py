"""The whole program. Importing this module adds every command."""

from boocode_sessions.cli import (
    checking,
    counting,
    encrypting,
    finding,
    moving,
    reading,
    removing,
    setting_up,
)
from boocode_sessions.cli.program import Panel, app

__all__ = ["COMMANDS", "app"]

COMMANDS = (checking, counting, encrypting, finding, moving, reading, removing, setting_up)
"""The modules that add commands when they are imported."""

_order = list(Panel)
app.registered_commands.sort(key=lambda command: _order.index(Panel(str(command.rich_help_panel))))
