"""`python -m devices.androidworld [NAMES]`: the tasks of an AndroidWorld, with their apps and budgets."""

from __future__ import annotations

import sys

from devices.androidworld.suite import android_world_suite
from gui_agent.errors import GuiAgentError


def main() -> int:
    """Print a line for each task."""
    try:
        suite = android_world_suite(",".join(sys.argv[1:]))
        print(f"{'task':56} {'steps':>5}  apps")
        for name in suite.templates:
            first = suite.catalogue.entries[name].first
            print(f"{name:56} {first.max_steps:5}  {', '.join(app.name for app in first.apps)}")
        print(f"{len(suite.templates)} tasks; choose with --suite android_world/NAMES")
    except GuiAgentError as error:
        print(f"androidworld: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
