"""What this version reads and checks but does not do yet; workers refuse to start with it.

No I/O, no clock, no globals.
"""

from collections.abc import Iterator

from shared.config.model import Config
from shared.config.problems import Problem, at
from shared.config.profiles import NEVER_SENT, Profile

_LATER = "is not built in this version"
_PIXEL_OPTIONS = ("clean-pixel-data", "clean-recognizable-visual-features")


def unbuilt_in(config: Config) -> tuple[Problem, ...]:
    """Return what a configuration asks for that this version does not do; empty when workers may start."""
    return tuple(_of_routes(config))


def _of_routes(config: Config) -> Iterator[Problem]:
    used = {route.towards(name).profile for route in config.routes for name in route.destinations}
    for name, profile in config.profiles.items():
        if name in used:
            yield from _of_profile(name, profile)


def _of_profile(name: str, profile: Profile) -> Iterator[Problem]:
    for option in profile.options:
        if option in _PIXEL_OPTIONS:
            yield at("profile", name, "options", f"{option} {_LATER}; remove it and hold such objects")
    for kind, fate in profile.objects.items():
        if fate == "send" and kind in NEVER_SENT:
            yield at("profile", name, f"objects.{kind}", f'"send" {_LATER}; write "hold" or "drop"')
