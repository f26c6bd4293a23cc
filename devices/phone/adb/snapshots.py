"""A whole phone as text and back: apps, task, settings, files, screen."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import Any, Final

from devices.phone.adb.android import Android
from devices.phone.adb.packages import Package
from devices.phone.device import PhoneSnapshot
from devices.phone.display import PhoneDisplay, Theme
from gui_agent.errors import DataError

_KEPT_FOLDERS: Final = ("/storage/emulated/0", "/data/local/tmp")
_VERSION: Final = 1


async def take_snapshot(android: Android) -> str:
    """The phone as JSON; the same phone gives the same text."""
    data = {
        "version": _VERSION,
        "phone": asdict(await android.phone.snapshot()),
        "android": summary(android),
        "files": {
            path: base64.b64encode(content).decode()
            for path, content in android.files.contents(*_KEPT_FOLDERS).items()
        },
    }
    return json.dumps(data, sort_keys=True)


def summary(android: Android) -> dict[str, Any]:
    """What Android remembers around the apps, without files."""
    return {
        "settings": android.settings,
        "properties": android.properties,
        "added": [asdict(one) for one in android.added.values()],
        "removed": sorted(android.removed),
        "disabled": sorted(android.disabled),
        "awake": android.awake,
        "sensor_rotation": android.sensor_rotation,
        "clipboard": android.clipboard,
        "display": asdict(android.display),
        "provider_rows": android.provider_rows,
    }


async def restore_snapshot(android: Android, text: str) -> None:
    """Bring a phone into the state that `take_snapshot` wrote.

    Raises:
        DataError: the text is no snapshot of this version.
    """
    try:
        data = json.loads(text)
        if data["version"] != _VERSION:
            raise DataError(f"a phone snapshot of version {data['version']}; this program reads {_VERSION}")
        around = data["android"]
        display = PhoneDisplay(**{**around["display"], "theme": Theme(around["display"]["theme"])})
        added = {one["name"]: Package(**one) for one in around["added"]}
        files = {path: base64.b64decode(content) for path, content in data["files"].items()}
        apps = PhoneSnapshot(**data["phone"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"not a snapshot of a phone ({error!r}): {text[:80]!r}") from error
    await android.phone.restore(apps)
    android.settings = around["settings"]
    android.properties = around["properties"]
    android.added = added
    android.removed, android.disabled = set(around["removed"]), set(around["disabled"])
    android.awake, android.sensor_rotation = around["awake"], around["sensor_rotation"]
    android.clipboard, android.provider_rows = around["clipboard"], around["provider_rows"]
    android.set_display(display)
    _replace_files(android, files)


def _replace_files(android: Android, files: dict[str, bytes]) -> None:
    for path in android.files.contents(*_KEPT_FOLDERS):
        if path not in files:
            android.files.remove(path)
    for path, content in files.items():
        android.files.make_folders(path.rpartition("/")[0])
        android.files.write(path, content)
