"""The MiniWoB++ pages as live tasks with their own reward, seeds and experts."""

from devices.browser.miniwob.suite import MiniwobSuite, miniwob_suite, suite_names
from devices.browser.miniwob.task import MiniwobTask

__all__ = ["MiniwobSuite", "MiniwobTask", "miniwob_suite", "suite_names"]
