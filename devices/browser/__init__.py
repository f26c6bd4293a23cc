"""Browsers as worlds: Chromium pages behind the `Device` protocol."""

from devices.browser.chromium import find_chromium
from devices.browser.device import BrowserDevice
from devices.browser.factory import BrowserFactory
from devices.browser.labels import labelled_screens
from devices.browser.process import BrowserSettings
from devices.browser.site import SiteSuite, SiteTask, browser_devices, site_suite
from devices.browser.task import BrowserTask

__all__ = [
    "BrowserDevice",
    "BrowserFactory",
    "BrowserSettings",
    "BrowserTask",
    "SiteSuite",
    "SiteTask",
    "browser_devices",
    "find_chromium",
    "labelled_screens",
    "site_suite",
]
