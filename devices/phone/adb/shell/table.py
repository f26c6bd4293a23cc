"""All commands of the phone by name."""

from __future__ import annotations

from typing import Final

from devices.phone.adb.shell.activity import ACTIVITY_COMMANDS
from devices.phone.adb.shell.builtins import BUILTINS
from devices.phone.adb.shell.call import Commands
from devices.phone.adb.shell.content import CONTENT_COMMANDS
from devices.phone.adb.shell.dumpsys import DUMPSYS_COMMANDS
from devices.phone.adb.shell.files import FILE_COMMANDS
from devices.phone.adb.shell.input import INPUT_COMMANDS
from devices.phone.adb.shell.package import PACKAGE_COMMANDS
from devices.phone.adb.shell.screen import SCREEN_COMMANDS
from devices.phone.adb.shell.settings import SETTINGS_COMMANDS
from devices.phone.adb.shell.system import SYSTEM_COMMANDS
from devices.phone.adb.shell.text import TEXT_COMMANDS

COMMANDS: Final[Commands] = {
    **BUILTINS,
    **FILE_COMMANDS,
    **TEXT_COMMANDS,
    **SYSTEM_COMMANDS,
    **INPUT_COMMANDS,
    **SCREEN_COMMANDS,
    **SETTINGS_COMMANDS,
    **ACTIVITY_COMMANDS,
    **PACKAGE_COMMANDS,
    **DUMPSYS_COMMANDS,
    **CONTENT_COMMANDS,
}
