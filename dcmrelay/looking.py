"""The commands `status` and `show`: read, make rows, print."""

import shutil

from dcmrelay import in_force, reading, running, services, stories, views
from dcmrelay.output import age, as_json, one_line, say, table
from producers.replay.show import letter_of
from shared.config import Config
from shared.errors import StartError
from shared.notices.looking import free_since, late
from shared.notices.told import failures
from shared.notices.troubles import of_destinations
from shared.spool.circuits import newest_circuit
from shared.spool.commitments import refused_lately
from shared.spool.damage import damages
from shared.spool.pauses import pause_in_force
from shared.spool.spool import Spool
from shared.spool.trend import bytes_per_second, full_in
from shared.spool.volume import attach


def status(config: Config, refused: tuple[str, ...] = (), *, json: bool) -> int:
    """Print what needs a person, then each destination's health; 1 when somebody is needed.

    Args:
        config: in force.
        refused: problems of the configuration file, while an earlier one is in force.
        json: print JSON.
    """
    health = _health(config, attach(config))
    problems = [*in_force.problems(config, refused), *views.problems(health)]
    rows = views.waiting_rows(health)
    of_services = services.services(config, attach(config), health.deliveries)
    if json:
        as_json({**_status_facts(health, problems, rows), **services.facts(of_services)})
        return int(bool(problems))
    for problem in problems:
        say(f"! {one_line(problem)}")
    if not problems:
        say("Nobody is needed.")
    say(_summary(health))
    for name, circuit in health.circuits.items():
        say(one_line(f"{name}: {circuit.sentence}; `dcmrelay test {name}`"))
    for line in commitment_lines(config, attach(config)):
        say(line)
    for line in services.lines(of_services):
        say(line)
    for name, pause in health.pauses.items():
        say(one_line(f"{name}: {pause.sentence}; `dcmrelay resume {name}` ends it"))
    if rows:
        table(("destination", "waiting", "working", "oldest", "owner", "last_reason"), rows)
    return int(bool(problems))


def commitment_lines(config: Config, spool: Spool) -> list[str]:
    """Sources that ask for storage commitment in vain, and requests that could not be answered yet."""
    lines = [
        f'{it.name} asks for storage commitment; add commitment = {{ by = "...", port = ... }} to its [[source]]'
        for it in config.sources
        if it.commitment is None and refused_lately(spool, it.name)
    ]
    for asked in reading.commitments(spool):
        if asked.state.reason and asked.state.status != "held":
            what = f"could not yet be told what is safe ({asked.state.reason})"
            lines.append(one_line(f"{asked.order['source']} {what}: check host and port of its commitment"))
    return lines


def show(config: Config, what: str, *, json: bool) -> None:
    """Print the whole story of the parts a person means.

    Raises:
        StartError: there is none.
    """
    spool = attach(config)
    found = [reading.journey(spool, part) for part in reading.find_parts(spool, what)] if what else []
    if not found:
        raise StartError(f"nothing is known by {one_line(what)!r}; `dcmrelay studies` lists what is")
    if json:
        as_json([stories.facts(journey) for journey in found])
        return
    for journey in found:
        title = f"part {journey.part.id} of study {journey.part.study_instance_uid}: {views.part_state(journey)}"
        say(one_line(title))
        table(("when", "what", "detail"), stories.story(journey))


def _health(config: Config, spool: Spool) -> views.Health:
    deliveries = list(reading.unfinished_deliveries(spool))
    parts = [brief for _, brief in reading.unfinished_parts(spool)]
    closed = [brief for brief in parts if brief is not None]
    held = [it for it in (*closed, *deliveries, *reading.commitments(spool)) if it.state.status == "held"]
    free = shutil.disk_usage(spool.store.root).free
    return views.Health(
        now=spool.now(),
        ingress=_ingress(config, spool),
        broker=running.broker_answers(config),
        free=free,
        min_free=config.ingress.min_free,
        full_in=full_in(free, config.ingress.min_free, bytes_per_second(spool)),
        watched=tuple(brief for brief in closed if brief.state.status == "waiting" and brief.state.facts.get("alert")),
        damaged=tuple(damage.part for damage in damages(spool)),
        unrouted=sum(brief.state.status != "held" and not brief.state.outcome for brief in closed),
        receiving=len(parts) - len(closed),
        deliveries=tuple(brief for brief in deliveries if brief.state.status != "held"),
        letters=tuple(letter_of(brief.id, brief.order, brief.state) for brief in held),
        owners={it.name: reading.owner_alive(spool, it.name) for it in config.destinations},
        down=frozenset(it.about for it in of_destinations(deliveries, config, free_since(spool, config), spool.now())),
        circuits={
            it.name: found
            for it in config.destinations
            if (found := newest_circuit(spool, it.name)) is not None and found.open
        },
        late=late(spool, config, deliveries),
        not_told=failures(spool, tuple(it.name or it.kind for it in config.notify)),
        pauses={it.name: pause for it in config.destinations if (pause := pause_in_force(spool, it.name))},
    )


def _ingress(config: Config, spool: Spool) -> tuple[str, ...]:
    here = running.shown_listening(config)
    if not here and reading.ingress_elsewhere(spool):
        return ("elsewhere",)
    return tuple(shown for shown, address in here if running.answers(*address))


def _summary(health: views.Health) -> str:
    oldest = max((reading.waited(brief, health.now) for brief in health.deliveries), default=None)
    waiting = views.counted(len(health.deliveries), "delivery", "deliveries")
    return "; ".join(
        (
            f"ingress: {', '.join(health.ingress) or 'not running'}",
            f"RabbitMQ: {'there' if health.broker else 'away'}",
            f"{views.counted(health.receiving, 'part')} being received, {health.unrouted} to be routed",
            f"{waiting} waiting" + (f", the oldest {age(oldest)}" if oldest else ""),
            views.counted(len(health.letters), "dead letter"),
            f"{health.free / 1e9:.1f} GB free" + (f", full in about {age(health.full_in)}" if health.full_in else ""),
        )
    )


def _status_facts(health: views.Health, problems: list[str], rows: list[views.Row]) -> views.Row:
    return {
        "needed": bool(problems),
        "problems": problems,
        "ingress": health.ingress,
        "broker": health.broker,
        "free_bytes": health.free,
        "full_in_seconds": health.full_in,
        "damaged_files": len(health.damaged),
        "receiving": health.receiving,
        "unrouted": health.unrouted,
        "destinations": rows,
        "late": {route: sorted(parts) for route, parts in health.late.items()},
        "not_told": health.not_told,
        "dead_letters": [views.letter_facts(letter) for letter in health.letters],
    }
