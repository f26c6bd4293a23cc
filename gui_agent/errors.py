"""Every exception that this project raises on purpose.

    GuiAgentError
    ├── ConfigError            a setting is unknown, missing or impossible (also ValueError)
    ├── DataError              stored or converted data cannot be used (also ValueError)
    │   ├── ImageDecodeError   the bytes of a screenshot are no picture
    │   ├── SchemaVersionError a store was written by a newer version
    │   └── ReplayError        a trajectory cannot be replayed as a world
    ├── DeviceError            the world broke, not the agent (also RuntimeError)
    │   ├── DeviceTimeoutError a deadline passed (also TimeoutError)
    │   ├── NoDeviceError      no device is left to lend, and none will come back
    │   └── CaptureError       no honest screenshot could be taken
    ├── PolicyError            a model or model server failed (also RuntimeError)
    │   └── ImageTokenError    image placeholders and image features disagree
    ├── TrainingError          a training that had begun cannot go on (also RuntimeError)
    └── DependencyError        a program or package is missing (also ImportError)

A mistake of the agent (text that does not parse, a tap outside the screen) is never one of these: it
is a value, recorded in the trajectory. A message says what was wrong, where, what was expected and
what to do about it.
"""


class GuiAgentError(Exception):
    """Base of all errors raised on purpose by this project."""


class ConfigError(GuiAgentError, ValueError):
    """A setting is unknown, missing or impossible."""


class DataError(GuiAgentError, ValueError):
    """Stored or converted data cannot be used."""


class ImageDecodeError(DataError):
    """The bytes of a screenshot cannot be decoded."""


class SchemaVersionError(DataError):
    """A store was written with a schema that is newer than this program."""


class ReplayError(DataError):
    """A trajectory lacks what replaying it as a world needs."""


class DeviceError(GuiAgentError, RuntimeError):
    """The device or browser failed; the episode says nothing about the agent."""


class DeviceTimeoutError(DeviceError, TimeoutError):
    """A device did not answer before its deadline."""


class NoDeviceError(DeviceError):
    """No device is left to lend, and none will come back: trying again is of no use."""


class CaptureError(DeviceError):
    """A screenshot could not be taken; there is no picture to stand in for it."""


class PolicyError(GuiAgentError, RuntimeError):
    """A model, or the server in front of it, failed."""


class ImageTokenError(PolicyError):
    """The number of image placeholder tokens differs from the number of image features."""


class TrainingError(GuiAgentError, RuntimeError):
    """A training that had begun cannot go on; notes say from where it can be continued."""


class DependencyError(GuiAgentError, ImportError):
    """A program or package that this command needs is not installed."""
