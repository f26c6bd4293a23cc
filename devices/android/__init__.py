"""Phones and emulators as worlds: Android behind adb and the `Device` protocol.

server.py      the adb server: where it listens, what it lists
connection.py  command lines and raw output, one deadline each
capture.py     pictures of the screen
screen.py      size, rotation, power, lock, what is in front
touch.py       fingers and keys
keys.py        names of keys
text_input.py  text in any language
ui_tree.py     the accessibility tree
apps.py        apps by name
settings.py    how a phone is driven
input_space.py where a pixel of the picture lies for the phone
observing.py   when to look, and which picture to believe
performing.py  actions as touches, keys and text
device.py      all of it as a `Device`
restorable.py  the same, saved and restored
preflight.py   what a phone needs, checked and explained
preparation.py settings changed for a while
identity.py    one phone under two names
tasks.py       what a task on a phone provides
factory.py     phones, lent one at a time
"""

from devices.android.connection import AdbConnection, ShellResult
from devices.android.device import AndroidDevice
from devices.android.factory import AndroidFactory, android_devices
from devices.android.server import AdbServer, DeviceEntry
from devices.android.settings import AndroidSettings
from devices.android.tasks import AndroidGoal, AndroidTask, TaskChannel, android_suite

__all__ = [
    "AdbConnection",
    "AdbServer",
    "AndroidDevice",
    "AndroidFactory",
    "AndroidGoal",
    "AndroidSettings",
    "AndroidTask",
    "DeviceEntry",
    "ShellResult",
    "TaskChannel",
    "android_devices",
    "android_suite",
]
