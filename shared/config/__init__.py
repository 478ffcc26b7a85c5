"""The configuration file: TOML in, one checked and frozen `Config` out, or every problem at once."""

from shared.config.advice import warnings_of
from shared.config.callers import Mismatch
from shared.config.credentials import broker_url, find_broker, ledger_url
from shared.config.loading import find, load, parse, read, read_file
from shared.config.model import Config
from shared.config.notifying import Notify, Occasion
from shared.config.peers import Destination, Source
from shared.config.problems import Problem
from shared.config.profiles import Profile
from shared.config.rules import Route
from shared.config.unbuilt import unbuilt_in
from shared.config.values import Address

__all__ = [
    "Address",
    "Config",
    "Destination",
    "Mismatch",
    "Notify",
    "Occasion",
    "Problem",
    "Profile",
    "Route",
    "Source",
    "broker_url",
    "find",
    "find_broker",
    "ledger_url",
    "load",
    "parse",
    "read",
    "read_file",
    "unbuilt_in",
    "warnings_of",
]
