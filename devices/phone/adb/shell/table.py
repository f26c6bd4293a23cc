"""All commands of the phone by name."""

from __future__ import annotations

from typing import Final

from devices.phone.adb.shell.builtins import BUILTINS
from devices.phone.adb.shell.call import Commands
from devices.phone.adb.shell.input import INPUT_COMMANDS
from devices.phone.adb.shell.screen import SCREEN_COMMANDS
from devices.phone.adb.shell.settings import SETTINGS_COMMANDS

COMMANDS: Final[Commands] = {
    **BUILTINS,
    **INPUT_COMMANDS,
    **SCREEN_COMMANDS,
    **SETTINGS_COMMANDS,
}
