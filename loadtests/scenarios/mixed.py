"""A busy day: most people look around, some order and pay or cancel, staff receive goods, dashboards follow it all.

Arrivals do one thing each (open); regulars think between what they do (closed).
"""

from __future__ import annotations

from loadtests.frame import mix
from loadtests.frame.enact import enact


class Passerby(mix.Passerby):
    """Looks at a page, or orders something."""


class Regular(mix.Regular):
    """Looks around, orders, looks at old orders, sometimes cancels."""


class Clerk(mix.Clerk):
    """Receives goods."""


class Dashboard(mix.Dashboard):
    """Follows the log."""


class Mixed(mix.Mix):
    name = "mixed"
    dashboard = Dashboard


enact(Mixed())
