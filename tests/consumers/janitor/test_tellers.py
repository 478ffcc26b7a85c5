"""Who is told follows the configuration in force."""

import threading
from pathlib import Path

import pytest

from consumers.janitor import telling
from consumers.janitor.telling import Tellers
from shared import metrics
from shared.config import Config, load
from shared.service import Service
from tests.dcmrelay.relays import prepared, write_config
from tests.support import eventually


def running() -> set[str]:
    """Threads that tell."""
    return {it.name for it in threading.enumerate() if it.name.startswith("tell-")}


def telling_to(folder: Path, *names: str) -> Config:
    """The prepared configuration with notifiers of these names."""
    text = '[[notify]]\nname = "{}"\nkind = "command"\non = ["dead_letter"]\ncommand = ["/bin/true"]\n'
    return load(write_config(folder, more="".join(map(text.format, names))))


def test_a_notifier_that_comes_is_served_and_one_that_goes_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "_LOOK_SECONDS", 0.01)
    relay = prepared(tmp_path)
    service = Service(kind="janitor", config=telling_to(tmp_path, "page"), spool=relay.spool)
    tellers = Tellers(service)
    service.takers.append(tellers.use)
    assert running() == {"tell-page"}
    (first,) = (it for it in threading.enumerate() if it.name == "tell-page")
    metrics.NOTIFIER_FAILING.labels(notifier="page").set(1)

    service.adopt(telling_to(tmp_path, "page", "mail"))
    assert running() == {"tell-page", "tell-mail"}
    assert first.is_alive(), "who stays goes on"
    service.adopt(telling_to(tmp_path, "mail"))
    eventually(lambda: running() == {"tell-mail"}, 5)
    assert metrics.value("dcmrelay_notifier_failing", notifier="page") == 0, "nothing is said of who is gone"
    service.stopping.set()
    eventually(lambda: not running(), 5)
