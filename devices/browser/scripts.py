"""JavaScript that asks a page about itself; kept in files beside this one."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def page_script(package: str, *names: str) -> str:
    """An arrow function of one `argument` whose body is the named files, one after the other.

    Args:
        package: the package that holds the last file; the others are looked for in `devices.browser`.
        names: file names; the last one returns the value.
    """
    *shared, last = names
    bodies = [resources.files("devices.browser").joinpath(name).read_text("utf-8") for name in shared]
    bodies.append(resources.files(package).joinpath(last).read_text("utf-8"))
    return "(argument) => {\n'use strict';\n" + "\n".join(bodies) + "\n}"
