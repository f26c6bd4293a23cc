"""Farms: devices of any kind lent one at a time, and kept alive while they are used.

source.py      what a farm is made of: units (one device each) and the sources that bring them
options.py     deadlines, back-off, when to give up
deadline.py    one deadline over whatever is awaited
guard.py       a lent device: every call with a deadline, faults and times counted
statistics.py  what is counted of one device
member.py      one device of a farm, its state and its record
pool.py        the farm itself, a `DeviceFactory`
recovery.py    from a fault back to health: probe, reconnect, restart, quarantine, replacement
status.py      farm.json: how a running farm is doing
clock.py       the time, which tests turn by hand
in_process.py  units of the worlds in this process: virtual phones, pages of a browser
android.py     units of phones and emulators that an adb server lists
phones.py      virtual phones over adb
console.py     the console of an emulator
avd.py         emulators started from a snapshot
events.py      what happened on a farm
wire.py        what of a device's calls travels to another computer
node.py        the devices of another computer, there
remote.py      the devices of another computer, here
node_source.py several computers as one source
ray_source.py  the computers of a Ray cluster
opening.py     from "phone:8" or "android:all" to a farm
"""

from devices.farm.options import FarmOptions
from devices.farm.pool import DeviceFarm
from devices.farm.source import DeviceSource, Identity, Unit
from devices.farm.statistics import FaultKind
from devices.farm.status import FarmStatus, read_status

__all__ = [
    "DeviceFarm",
    "DeviceSource",
    "FarmOptions",
    "FarmStatus",
    "FaultKind",
    "Identity",
    "Unit",
    "read_status",
]
