"""Who may answer for the safety of instances, and who may be asked. No I/O, no clock, no globals.

Source: ADR 0019.
"""

from collections.abc import Iterator

from shared.config.matching import fits
from shared.config.model import Config
from shared.config.peers import Commitment, Source
from shared.config.problems import Problem, at
from shared.config.rules import Route


def commitment_errors(config: Config) -> Iterator[Problem]:
    """Yield what makes storage commitment impossible, or dishonest."""
    for source in config.sources:
        if source.commitment is not None:
            yield from _of_source(config, source, source.commitment)
    for destination in config.destinations:
        if destination.verify == "storage-commitment" and destination.calling_ae_title == "{source}":
            text = 'cannot be "{source}" with verify = "storage-commitment", as the answer comes to that AE title'
            yield at("destination", destination.name, "calling_ae_title", f'{text}; write one, or verify = "c-find"')


def commitment_warnings(config: Config) -> Iterator[Problem]:
    """Yield where a source is told that its instances are safe because a peer said success."""
    for source in config.sources:
        by = config.destination(source.commitment.by) if source.commitment else None
        if by is not None and by.verify == "none":
            text = f"{by.name!r} is believed when it answers success, and the source may then delete its images"
            yield at("source", source.name, "commitment.by", f'{text}; write verify = "c-find" there')


def _of_source(config: Config, source: Source, commitment: Commitment) -> Iterator[Problem]:
    by = config.destination(commitment.by)
    if by is None:
        return
    if by.deidentified_only:
        text = f"{by.name!r} takes nothing as it was received; name a destination that keeps the originals"
        yield at("source", source.name, "commitment.by", text)
    elif not any(_brings(route, source, by.name) for route in config.routes):
        text = f"no route brings what {source.name!r} sends to {by.name!r} under its SOP Instance UIDs"
        text += "; add one without profile, and with correction = true if it has an edit"
        yield at("source", source.name, "commitment.by", text)
    tls = commitment.tls
    if tls and (tls.certificate is None) != (tls.key is None):
        key, other = ("key", "certificate") if tls.key is None else ("certificate", "key")
        yield at(
            "source", source.name, f"commitment.tls.{key}", f"is missing; add it, or remove commitment.tls.{other}"
        )


def _brings(route: Route, source: Source, destination: str) -> bool:
    """Whether a route may bring what a source sends to a destination, under the same UIDs."""
    asked = route.match.get("source")
    patterns = asked if isinstance(asked, tuple) else ("*",)
    is_its = any(fits(pattern, source.name) for pattern in patterns)
    towards = route.towards(destination)
    keeps_uids = towards.profile is None and (towards.edit is None or route.correction)
    return is_its and keeps_uids and destination in route.destinations
