"""Where an agent may be: apps by package or name, sites by host."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from gui_agent.errors import ConfigError
from gui_agent.safety.verdict import Decision

_WEB_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_NOWHERE: Final = frozenset({"", "about:blank", "about:srcdoc"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The apps and sites that are allowed.

    Attributes:
        apps: globs of packages, or names of apps; empty allows all.
        sites: hosts, each with those below it (`example.org` has `www.example.org`), with a port where only
            that one is meant; `file:///folder/` for files; empty allows all.
        decision: what becomes of an action outside.
    """

    apps: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    decision: Decision = Decision.DENY

    def allows(self, place: str | None) -> bool:
        """Whether an app or an address is inside; nobody knows where None is, so that it is outside."""
        if place is not None and is_address(place):
            return not self.sites or place in _NOWHERE or self.names(place)
        return not self.apps or self.names(place)

    def names(self, place: str | None) -> bool:
        """Whether an app or an address is one of those that are named."""
        if place is None:
            return False
        if is_address(place):
            return any(_is_on(place, site) for site in self.sites)
        return any(fnmatchcase(place.lower(), app.lower()) for app in self.apps)

    def with_place(self, place: str) -> Bounds:
        """These bounds with one more app or site."""
        if is_address(place):
            sites = (*self.sites, site_of(place))
            return Bounds(apps=self.apps, sites=sites, decision=self.decision)
        return Bounds(apps=(*self.apps, place), sites=self.sites, decision=self.decision)


def is_address(place: str) -> bool:
    """Whether a place is an address of a page, not an app."""
    head = place.partition(":")[0]
    return ":" in place and "." not in head and "/" not in head


def site_of(url: str) -> str:
    """The site that an address belongs to, as `Bounds.sites` names it.

    A host without "www."; with the port, unless it is the usual one; the folder of a file.

    Raises:
        ConfigError: the address has neither host nor file.
    """
    scheme, host, port = _parts(url)
    if scheme == "file":
        return url.split("#")[0].split("?")[0].rpartition("/")[0] + "/"
    if not host:
        raise ConfigError(
            f"{url!r} is no address with a host; write it whole, for example https://example.org/"
        )
    host = host.removeprefix("www.")
    return host if port in (None, _WEB_PORTS.get(scheme)) else f"{host}:{port}"


def sites_of(names: Iterable[str]) -> tuple[str, ...]:
    """Sites as people write them: a host, a host with a port, or a whole address.

    Raises:
        ConfigError: one is no host.
    """
    found = []
    for name in names:
        text = name.strip()
        url = text if "://" in text else f"https://{text.removeprefix('*.')}"
        site = site_of(url)
        if "*" in site or " " in site:
            raise ConfigError(f"allowed site {name!r} is no host; write one such as example.org")
        found.append(site)
    return tuple(found)


def _is_on(url: str, site: str) -> bool:
    scheme, host, port = _parts(url)
    if site.startswith("file:"):
        return scheme == "file" and "/.." not in url and url.startswith(site)
    if scheme not in _WEB_PORTS or not host:
        return False
    wanted, colon, number = site.rpartition(":")
    if not colon or not number.isdecimal():
        wanted, number = site, ""
    if number and port != int(number):
        return False
    return host == wanted or host.endswith(f".{wanted}")


def _parts(url: str) -> tuple[str, str, int | None]:
    """Scheme, host in ASCII and port, as a browser reads the address."""
    text = url.strip().removeprefix("blob:").replace("\\", "/")
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", "", None
    scheme = parts.scheme.lower()
    if port is None:
        port = _WEB_PORTS.get(scheme)
    try:
        return scheme, host.encode("idna").decode() if host else "", port
    except UnicodeError:
        return scheme, host.lower(), port
