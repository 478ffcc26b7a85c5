"""The command `knocked`: who was refused, and what to paste into the configuration to let them in."""

import json as json_
from datetime import timedelta
from itertools import chain, count

from dcmrelay.output import as_json, is_hiding, say, table
from shared.config import Config
from shared.config.values import parse_ae_title
from shared.spool.knocks import Knock, knocks
from shared.spool.volume import attach

_LONG_AGO = timedelta(days=7)
_COLUMNS = ("last", "times", "calling_ae_title", "called_ae_title", "host", "why")
_WHY = {
    "calling": "no source has this AE title",
    "host": "no source of this AE title may call from there",
    "called": "the source may not call this AE title",
    "certificate": "the source has another certificate",
}


def knocked(config: Config, *, json: bool) -> None:
    """Print callers that were refused within a week and would be still, the latest first."""
    spool = attach(config)
    since = spool.now() - _LONG_AGO
    found = [it for it in knocks(spool) if it.last >= since and not _is_let_in(config, it)]
    found.sort(key=lambda it: it.last, reverse=True)
    if json:
        as_json([{**vars(it), "source": "" if is_hiding() else source_of(config, it)} for it in found])
        return
    if not found:
        say("Nobody was refused whom the configuration does not let in.")
        return
    table(_COLUMNS, [{**vars(it), "why": _WHY.get(it.why, it.why)} for it in found])
    if is_hiding():
        say("\nWithout --no-phi there is a [[source]] for each, to paste.")
        return
    for knock in found:
        say(f"\n{source_of(config, knock)}")
    say("\nPaste what you want to let in into the configuration, `dcmrelay check` it; the ingress takes it by itself.")


def source_of(config: Config, knock: Knock) -> str:
    """A [[source]] that lets a caller in, or a comment that says why there can be none."""
    called = knock.called_ae_title
    if not all(map(_is_proper, (knock.calling_ae_title, called))):
        return f"# A caller from {knock.host} uses an AE title that cannot be configured: set a proper one there."
    lines = ["[[source]]", f"name = {_text(_name(config, knock))}", f"ae_title = {_text(knock.calling_ae_title)}"]
    if knock.host:
        lines.append(f"hosts = [{_text(knock.host)}]")
    if called != config.relay.ae_title:
        lines.append(f"called = [{_text(called)}]")
    if knock.fingerprint:
        lines.append(f"certificate = [{_text(knock.fingerprint)}]")
    return "\n".join(lines)


def _is_let_in(config: Config, knock: Knock) -> bool:
    certificate = frozenset((knock.fingerprint,)) if knock.fingerprint else None
    return config.mismatch_of(knock.calling_ae_title, knock.host, knock.called_ae_title, certificate) is None


def _is_proper(ae_title: str) -> bool:
    """Whether it can be written down: "?" may stand for what cannot, and "*" would mean any."""
    try:
        return parse_ae_title(ae_title) != "*" and "?" not in ae_title
    except ValueError:
        return False


def _name(config: Config, knock: Knock) -> str:
    """A name no source has yet."""
    words = "".join(letter if letter.isalnum() else "-" for letter in knock.calling_ae_title.lower())
    stem, taken = words.strip("-") or "source", {source.name for source in config.sources}
    return next(name for name in chain((stem,), (f"{stem}-{n}" for n in count(2))) if name not in taken)


def _text(value: str) -> str:
    """A TOML string; JSON writes printable ASCII the same way."""
    return json_.dumps(value)
