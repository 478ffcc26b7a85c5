"""What must agree within and between tables: names, sources that are told apart, safe listeners, proof where demanded.

No I/O, no clock, no globals.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import combinations
from typing import Any

from shared.config.askable import faults_of
from shared.config.callers import are_alike
from shared.config.committing import commitment_errors
from shared.config.matching import STUDY_KEYS
from shared.config.model import Config
from shared.config.notifying import faults_of_notify
from shared.config.problems import Problem, at, within
from shared.config.references import references_in
from shared.config.regex import found
from shared.config.rules import Check, Route

_FULL_DATES, _MODIFIED_DATES = "retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"


def errors_of(config: Config, raw: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return what keeps a configuration from being used.

    Args:
        config: the tables that are sound each by itself.
        raw: the file as TOML read it; names are looked up there, also in tables that are not sound.
    """
    return (
        *references_in(raw),
        *_listeners(config),
        *_timezone(config, raw),
        *_contradictions(raw),
        *_alike(config),
        *_certificates(config),
        *_retries(config),
        *commitment_errors(config),
        *_matches(config),
        *_dates(config),
        *(problem for notify in config.notify for problem in faults_of_notify(notify)),
        *(problem for route in config.routes for problem in _route(config, route)),
    )


def _listeners(config: Config) -> Iterator[Problem]:
    ingress = config.ingress
    if not ingress.listen and ingress.tls is None:
        yield within("ingress", "listen", 'names no address; write for example ["127.0.0.1:11112"]')
    with_tls = ingress.tls.listen if ingress.tls else ()
    for address, times in Counter(a for a in (*ingress.listen, *with_tls) if a.port).items():
        if times > 1:
            key = "listen" if address in ingress.listen else "tls.listen"
            yield within("ingress", key, f"{address} is named {times} times; remove all but one")
    for address in ingress.listen:
        if not address.is_loopback and ingress.plain is None:
            text = (
                f'{address} can be reached from other machines without TLS; use [ingress.tls], or write plain = "vpn"'
            )
            yield within("ingress", "listen", f"{text} when a VPN protects it")


def _timezone(config: Config, raw: Mapping[str, Any]) -> Iterator[Problem]:
    relay = raw.get("relay", {})
    if config.calendars and isinstance(relay, dict) and "timezone" not in relay:
        yield within("relay", "timezone", 'is missing, and calendars need it; write for example "Europe/Lisbon"')


def _contradictions(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield dates that a calendar lists as closed and as open; one that comes from a file may be opened by a date."""
    calendars = raw.get("calendar", {})
    for name, table in calendars.items() if isinstance(calendars, dict) else ():
        closed, opened = (_listed_days(table, key) for key in ("closed_on", "also_open_on"))
        for day in sorted(closed & opened):
            yield at("calendar", name, "closed_on", f"{day} is in also_open_on too; keep it in one of them")


def _listed_days(table: object, key: str) -> set[str]:
    days = table.get(key) if isinstance(table, dict) else None
    return {str(day) for day in days if isinstance(day, str | date)} if isinstance(days, list) else set()


def _alike(config: Config) -> Iterator[Problem]:
    for one, other in combinations(config.sources, 2):
        if are_alike(one, other):
            text = f"a caller can be {one.name!r} as well; tell them apart by ae_title, hosts or called"
            yield Problem(f"source {other.name!r}", text)


def _certificates(config: Config) -> Iterator[Problem]:
    for source in config.sources:
        if source.certificate and config.ingress.tls is None:
            text = "is only shown to a listener with TLS, and there is none; add [ingress.tls], or remove it"
            yield at("source", source.name, "certificate", text)
    for destination in config.destinations:
        tls = destination.tls
        if tls and (tls.certificate is None) != (tls.key is None):
            key, other = ("key", "certificate") if tls.key is None else ("certificate", "key")
            yield at("destination", destination.name, f"tls.{key}", f"is missing; add it, or remove tls.{other}")


def _retries(config: Config) -> Iterator[Problem]:
    for destination in config.destinations:
        retry = destination.retry
        if retry.first > retry.max:
            yield at("destination", destination.name, "retry.first", "is longer than retry.max; make it shorter")


def _matches(config: Config) -> Iterator[Problem]:
    for check in config.checks:
        yield from (at("check", check.name, f"match.{key}", text) for key, text in faults_of(check.match))
        yield from _check(check)
    for route in config.routes:
        yield from (at("route", route.name, f"match.{key}", text) for key, text in faults_of(route.match))
    for destination in config.destinations:
        for match in destination.exclude:
            yield from (at("destination", destination.name, f"exclude.{k}", text) for k, text in faults_of(match))
            for key in match:
                if key in (*STUDY_KEYS, "instances"):
                    text = "is not a fact of an instance, and instances are left out one by one; ask it in a route"
                    yield at("destination", destination.name, f"exclude.{key}", text)


def _check(check: Check) -> Iterator[Problem]:
    if not check.asks:
        text = "asks nothing; add require, pattern, values, dates, one_patient_per_study or unchanged"
        yield Problem(f"check {check.name!r}", text)
    if "instances" in check.match:
        text = "has no meaning here, a check looks at every instance that its match fits; remove it"
        yield at("check", check.name, "match.instances", text)
    for keyword, regex in check.pattern.items():
        allowed = check.values.get(keyword, ())
        if allowed and not any(found(regex, value) for value in allowed):
            text = f"fits no value that values lists for {keyword}, so every instance fails; correct one of them"
            yield at("check", check.name, f"pattern.{keyword}", text)


def _dates(config: Config) -> Iterator[Problem]:
    for name, profile in config.profiles.items():
        if {_FULL_DATES, _MODIFIED_DATES} <= set(profile.options):
            yield at("profile", name, "options", f"{_FULL_DATES} and {_MODIFIED_DATES} exclude each other; keep one")


def _route(config: Config, route: Route) -> Iterator[Problem]:
    yield from _prior(config, route)
    if not route.destinations and route.kind != "prior":
        yield Problem(f"route {route.name!r}", "delivers to nobody; add to, optional or one_of")
    for name, times in Counter(route.destinations).items():
        if times > 1:
            yield Problem(f"route {route.name!r}", f"names destination {name!r} {times} times; once is enough")
    if route.hand_over_after_urgent and route.hand_over_after_urgent > route.hand_over_after:
        yield at("route", route.name, "hand_over_after_urgent", "is longer than hand_over_after; make it shorter")
    if route.correction and not any(route.towards(name).edit for name in route.destinations):
        yield at("route", route.name, "correction", "is said of nothing, because there is no edit; remove it")
    for name in dict.fromkeys(route.destinations):
        destination = config.destination(name)
        if destination and destination.deidentified_only and route.towards(name).profile is None:
            text = f"is missing, but destination {name!r} is deidentified_only; add profile, or take {name!r} out"
            yield at("route", route.name, "profile", text)


def _prior(config: Config, route: Route) -> Iterator[Problem]:
    if route.kind != "prior":
        if route.like is not None:
            yield at("route", route.name, "like", 'is said of nothing, because kind is not "prior"; remove it')
        return
    followed = None if route.like is None else config.route(route.like)
    if route.like is None:
        yield at("route", route.name, "like", "is missing; name the route with one_of whose choice a prior follows")
    elif followed is not None and not followed.one_of:
        yield at("route", route.name, "like", f"{route.like!r} has no one_of; name a route that chooses")
    for key in ("to", "optional", "one_of", "profile", "edit"):
        if getattr(route, key):
            text = f'has no place beside kind = "prior", which goes as route {route.like!r} chose; remove it'
            yield at("route", route.name, key, text)
