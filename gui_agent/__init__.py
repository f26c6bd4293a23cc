"""Values, protocols and agents: the vocabulary that every other package speaks."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("gui-agent")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0+uninstalled"

__all__ = ["__version__"]
