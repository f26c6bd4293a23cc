"""What Android remembers around the apps: files, settings, properties, power, keyboards, the clock.

The apps themselves are the virtual phone's (`devices.phone.device`). Where both know a thing, such as
whether Wi-Fi is on, the apps' state has it, and the settings read and write it there.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from devices.phone.adb.faults import Fault, FaultInjector
from devices.phone.adb.filesystem import FileSystem
from devices.phone.adb.packages import (
    KEYBOARDS,
    LATIN_KEYBOARD,
    SYSTEM_UI,
    Package,
    installed_packages,
    package_of,
)
from devices.phone.adb.ports import Ports
from devices.phone.adb.profiles import PROFILES, DelayProfile
from devices.phone.apps.settings import chosen_option, is_on, with_option, with_switch
from devices.phone.device import PhoneDevice
from devices.phone.display import PhoneDisplay
from devices.phone.state import LAUNCHER, SYSTEM, Page, PhoneState, go_home, push
from gui_agent.actions import Action
from gui_agent.device import ActionResult, Task

SWITCH_SETTINGS: Final[dict[tuple[str, str], str]] = {
    ("global", "wifi_on"): "wifi",
    ("global", "bluetooth_on"): "bluetooth",
    ("global", "mobile_data"): "mobile data",
    ("global", "airplane_mode_on"): "flight mode",
    ("secure", "location_mode"): "location",
    ("global", "low_power"): "battery saver",
}
"""Settings that are switches of the settings app, by table and name."""

BRIGHTNESS: Final = ("system", "screen_brightness")
"""A number from 0 to 255 for Android, one of three words for the settings app."""

_BRIGHTNESS_WORDS: Final = {"low": 1, "medium": 128, "high": 255}
_ON_VALUES: Final = {("secure", "location_mode"): "3"}
_PHYSICAL_DPI: Final = 160
_NUM_LOG_LINES: Final = 2000


def _first_settings() -> dict[str, dict[str, str]]:
    return {
        "system": {
            "accelerometer_rotation": "1", "user_rotation": "0", "screen_brightness": "128",
            "screen_brightness_mode": "0", "screen_off_timeout": "60000", "time_12_24": "24",
            "show_touches": "0", "pointer_location": "0", "font_scale": "1.0",
        },
        "secure": {
            "android_id": "9774d56d682e549c", "default_input_method": LATIN_KEYBOARD,
            "enabled_input_methods": LATIN_KEYBOARD, "user_setup_complete": "1", "ui_night_mode": "1",
            "enabled_accessibility_services": "", "accessibility_enabled": "0", "zen_duration": "0",
            "theme_customization_overlay_packages": '{"android.theme.customization.color_source":"preset"}',
        },
        "global": {
            "device_name": "Virtual Phone", "window_animation_scale": "1.0",
            "transition_animation_scale": "1.0", "animator_duration_scale": "1.0", "auto_time": "1",
            "auto_time_zone": "1", "heads_up_notifications_enabled": "1", "stay_on_while_plugged_in": "0",
            "adb_enabled": "1", "development_settings_enabled": "1", "device_provisioned": "1",
        },
    }  # fmt: skip


class Android:
    """One phone with everything around its apps.

    Args:
        phone: the virtual phone; it must have been reset or restored.
        serial: "VP0001"; what `ro.serialno` says.
        profile: how long things take.

    Attributes:
        files: its file system.
        ports: its sockets.
        provider_rows: tables of content providers by URI.
        settings: tables of settings by name.
        properties: what `getprop` says.
        added: packages installed later, by name.
        removed: packages that came with the phone and were uninstalled.
        disabled: packages switched off by `pm disable`.
        awake: whether the screen is on.
        sensor_rotation: quarter turns by which the phone is held, 0 to 3.
        physical_display: the screen as it was made; `wm size` may override it.
        clipboard: text that was copied.
        secure_app: the app that forbids captures while it is in front; "" for none.
        all_selected: the whole text of the focused field is marked.
        touched_at: where `input motionevent DOWN` put a finger that is still there.
        log: recent lines of logcat.
        faults: what goes wrong.
        on_reboot: called when the phone restarts; its daemon breaks the links.
    """

    def __init__(self, phone: PhoneDevice, *, serial: str, profile: DelayProfile = PROFILES["fast"]) -> None:
        """A phone that has just booted."""
        self.phone = phone
        self.serial = serial
        self.profile = profile
        self.physical_display = phone.display
        self.faults = FaultInjector()
        self.on_reboot: Callable[[], None] = lambda: None
        self._delays = random.Random(serial)
        self.boot()

    def boot(self) -> None:
        """Everything but the apps as after a start from a fresh image."""
        self._clock_offset_s = 0.0
        self._booted_s = time.time()
        self.ports = Ports()
        self.provider_rows: dict[str, list[dict[str, str]]] = {}
        self.files = FileSystem(self.now_s)
        self.settings = _first_settings()
        self.properties = _properties(self.serial)
        self.added: dict[str, Package] = {}
        self.removed: set[str] = set()
        self.disabled: set[str] = set()
        self.awake = True
        self.sensor_rotation = 0
        self.clipboard = ""
        self.secure_app = ""
        self.all_selected = False
        self.touched_at: tuple[float, float] | None = None
        self.log: deque[str] = deque(maxlen=_NUM_LOG_LINES)
        self.set_display(self.physical_display)
        self._new_boot_id()
        self.files.write("/proc/version", b"Linux version 5.15.41-android13\n")
        build = "".join(f"{name}={value}\n" for name, value in sorted(self.properties.items()))
        self.files.write("/system/build.prop", build.encode())

    def reboot(self) -> None:
        """Start again: links break, the launcher is in front, files and settings stay."""
        self._booted_s = time.time()
        self.awake = True
        self._new_boot_id()
        self.change(go_home(self.state))
        self.on_reboot()

    def _new_boot_id(self) -> None:
        text = f"{random.Random(f'{self.serial}/{self._booted_s}').getrandbits(128):032x}"
        parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
        self.files.write("/proc/sys/kernel/random/boot_id", f"{'-'.join(parts)}\n".encode())

    # The clock

    def now_s(self) -> float:
        """Seconds since 1970 on the phone's clock."""
        return time.time() + self._clock_offset_s

    def set_clock(self, now_s: float) -> None:
        """Set the phone's clock, also the one in its status bar; the host's stays as it is."""
        self._clock_offset_s = now_s - time.time()
        minute = int(now_s // 60) % (24 * 60)
        self.change(replace(self.state, start_minute=(minute - self.state.num_steps // 4) % (24 * 60)))

    @property
    def uptime_s(self) -> float:
        """Seconds since the phone was started."""
        return time.time() - self._booted_s

    async def delay(self, typical_ms: float) -> None:
        """Wait as long as this phone takes for something."""
        if typical_ms:
            factor = math.exp(self._delays.gauss(0.0, self.profile.spread))
            await asyncio.sleep(typical_ms * factor / 1000)

    # The apps

    @property
    def state(self) -> PhoneState:
        """What the apps remember."""
        return self.phone.state

    def change(self, state: PhoneState) -> None:
        """Bring the apps into another state."""
        self.phone.put(state)

    async def perform(self, action: Action) -> ActionResult:
        """Perform a gesture; nothing happens while the screen is off."""
        if not self.awake:
            return ActionResult(executed=None, error="the screen is off")
        return await self.phone.execute(action)

    async def reset(self, task: Task) -> None:
        """Begin a task: its apps, with the screen on and upright; settings and files stay."""
        await self.phone.reset(task)
        self.awake = True
        self.sensor_rotation = 0
        self.secure_app = ""
        self.all_selected = False
        self.touched_at = None

    @property
    def packages(self) -> dict[str, Package]:
        """Installed packages by name, in order of the names."""
        found = installed_packages(self.state, self.added)
        return {one.name: one for one in found if one.name not in self.removed}

    @property
    def foreground(self) -> Package:
        """The package in front."""
        return package_of(self.state.foreground_app)

    @property
    def focused_window(self) -> str:
        """The window that has the focus, as `dumpsys window` calls it."""
        page = self.state.page
        if page.app == SYSTEM:
            return page.item if page.item.startswith("Application Not Responding") else SYSTEM_UI
        package = self.foreground
        return f"{package.name}/{package.activity}"

    def suffer(self) -> None:
        """Let faults that befall the phone itself happen, where one is due."""
        if self.faults.take(Fault.ANR):
            self.show_not_responding()
        if self.faults.take(Fault.ROTATION):
            self.sensor_rotation = 1
        if self.faults.take(Fault.SCREEN_OFF):
            self.awake = False
        front = self.state.foreground_app
        if front != self.secure_app:
            self.secure_app = ""
        if front != LAUNCHER and self.faults.take(Fault.SECURE):
            self.secure_app = front

    def show_not_responding(self) -> None:
        """Put the dialog of an app that does not respond in front, unless the settings hide it."""
        hidden = self.settings["global"].get("hide_error_dialogs") == "1"
        if not hidden and self.state.page.app != SYSTEM:
            item = f"Application Not Responding: {self.foreground.name}"
            self.change(push(self.state, Page(app=SYSTEM, name="popup", item=item)))

    # Settings

    def setting(self, table: str, name: str) -> str | None:
        """A setting; None where it was never set."""
        switch = SWITCH_SETTINGS.get((table, name))
        if switch is not None:
            return _ON_VALUES.get((table, name), "1") if is_on(self.state, switch) else "0"
        stored = self.settings[table].get(name)
        if (table, name) == BRIGHTNESS and (word := chosen_option(self.state, "brightness")) is not None:
            return stored if _brightness_word(stored) == word else str(_BRIGHTNESS_WORDS[word])
        return stored

    def put_setting(self, table: str, name: str, value: str | None) -> None:
        """Change a setting, or with None remove it."""
        switch = SWITCH_SETTINGS.get((table, name))
        if switch is not None:
            self.change(with_switch(self.state, switch, value not in (None, "0")))
        elif value is None:
            self.settings[table].pop(name, None)
        else:
            self.settings[table][name] = value
        if (table, name) == BRIGHTNESS and not self.state.simple:  # a simple phone shows no brightness
            word = _brightness_word(value)
            self.change(with_option(self.state, "brightness", word) if word else self.state)

    # Keyboards

    @property
    def keyboards(self) -> tuple[str, ...]:
        """All input methods that are installed."""
        return tuple(one for one in KEYBOARDS if one.split("/")[0] in self.packages)

    @property
    def enabled_keyboards(self) -> tuple[str, ...]:
        """Input methods that may be chosen."""
        return tuple(filter(None, self.settings["secure"].get("enabled_input_methods", "").split(":")))

    @property
    def keyboard(self) -> str:
        """The input method in use."""
        return self.settings["secure"].get("default_input_method", LATIN_KEYBOARD)

    def set_enabled_keyboards(self, names: tuple[str, ...]) -> None:
        """Choose which input methods may be chosen; one in use that is no longer among them is left."""
        self.settings["secure"]["enabled_input_methods"] = ":".join(names)
        if self.keyboard not in names:
            self.settings["secure"]["default_input_method"] = names[0] if names else ""

    def reset_keyboards(self) -> None:
        """The keyboard that came with the phone, and no other."""
        self.set_enabled_keyboards((LATIN_KEYBOARD,))

    # The screen

    @property
    def rotation(self) -> int:
        """Quarter turns of the picture: by the sensor, or as fixed by the settings."""
        system = self.settings["system"]
        if system.get("accelerometer_rotation", "1") == "1":
            return self.sensor_rotation
        fixed = system.get("user_rotation", "0")
        return int(fixed) % 4 if fixed.isdecimal() else 0

    @property
    def is_secure(self) -> bool:
        """Whether the window in front forbids captures."""
        return bool(self.secure_app) and self.state.foreground_app == self.secure_app

    @property
    def display(self) -> PhoneDisplay:
        """The screen in upright position, with the overrides of `wm`."""
        return self.phone.display

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height as the phone is held now."""
        width_px, height_px = self.display.width_px, self.display.height_px
        return (height_px, width_px) if self.rotation % 2 else (width_px, height_px)

    def set_display(self, display: PhoneDisplay) -> None:
        """Lay the apps out on another screen."""
        self.phone.put(self.state, display)

    @property
    def density_dpi(self) -> int:
        """Pixels per inch as Android counts them: 160 for one pixel per dp."""
        return round(self.display.density * _PHYSICAL_DPI)

    def note(self, tag: str, message: str) -> None:
        """Write a line to the log."""
        stamp = time.strftime("%m-%d %H:%M:%S", time.gmtime(self.now_s()))
        self.log.append(f"{stamp}.000  1234  1234 I {tag}: {message}")


def _brightness_word(value: str | None) -> str | None:
    """What the settings app calls a brightness; None for what is no number."""
    if value is None or not value.isdecimal():
        return None
    return min(_BRIGHTNESS_WORDS, key=lambda word: abs(_BRIGHTNESS_WORDS[word] - int(value)))


def _properties(serial: str) -> dict[str, str]:
    return {
        "dalvik.vm.heapsize": "512m",
        "gsm.version.ril-impl": "virtual",
        "init.svc.bootanim": "stopped",
        "persist.sys.locale": "en-US",
        "persist.sys.timezone": "UTC",
        "ro.boot.serialno": serial,
        "ro.build.characteristics": "default",
        "ro.build.fingerprint": "virtual/vphone/vphone:13/VP1/1:userdebug/test-keys",
        "ro.build.type": "userdebug",
        "ro.build.version.codename": "REL",
        "ro.build.version.release": "13",
        "ro.build.version.sdk": "33",
        "ro.crypto.state": "unencrypted",
        "ro.debuggable": "1",
        "ro.hardware": "vphone",
        "ro.kernel.qemu": "0",
        "ro.product.brand": "virtual",
        "ro.product.cpu.abi": "x86_64",
        "ro.product.cpu.abilist": "x86_64,x86",
        "ro.product.device": "vphone",
        "ro.product.manufacturer": "virtual",
        "ro.product.model": "Virtual Phone",
        "ro.product.name": "vphone",
        "ro.secure": "0",
        "ro.serialno": serial,
        "ro.sf.lcd_density": "160",
        "sys.boot_completed": "1",
    }
