"""Whether what was decided under an earlier configuration may go on. No I/O, no clock, no globals.

What was chosen for a study stands when rules change. What names something that is not there any more waits for a
person, who redirects it, or lets it go on as it was; the record of that names the configuration in force.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from shared.config import Config
from shared.spool.states import State


def lost_to(order: Mapping[str, Any], state: State, config: Config, wanted_by: Callable[[], Collection[str]]) -> str:
    """What a delivery was decided by that is gone; empty when nothing is.

    Args:
        order: of the delivery.
        state: its newest record.
        config: in force.
        wanted_by: names the routes that its part was decided by: a delivery may be that of several.
    """
    destination, route = str(order["destination"]), str(order.get("route", ""))
    if config.destination(destination) is None:
        return f"destination '{destination}' is not configured any more"
    if state.config == config.hash:
        return ""
    profile = str(order.get("form", {}).get("profile", ""))
    if profile and config.profile(profile) is None:
        return f"profile '{profile}' is not configured any more"
    if route and config.route(route) is None and not any(_names(config, it, destination) for it in wanted_by()):
        return f"route '{route}' is not configured any more"
    return ""


def _names(config: Config, route: str, destination: str) -> bool:
    found = config.route(route)
    return found is not None and destination in found.destinations
