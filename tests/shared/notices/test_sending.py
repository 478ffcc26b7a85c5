"""A message reaches a mail server, a webhook and a command; what does not take it is named, with the remedy."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.config import Notify, parse
from shared.errors import NotifyError
from shared.notices.sending import send, trial_message
from tests.peers import free_port
from tests.shared.notices.servers import mail_server, webhook

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MESSAGE = trial_message("DCMRELAY", "page", NOW)


def notifier(text: str, folder: Path) -> Notify:
    return parse(f'[[notify]]\non = ["dead_letter"]\n{text}', folder).notify[0]


def mail(port: int) -> str:
    return (
        f'kind = "smtp"\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\n'
        'from = "relay@h.example"\nto = ["a@h.example", "b@h.example"]'
    )


def test_a_mail_arrives_with_its_subject_and_text(tmp_path: Path) -> None:
    with mail_server() as server:
        send(notifier(mail(server.port), tmp_path), MESSAGE)
    assert "Subject: dcmrelay DCMRELAY: a test of the notifier page" in server.bodies[0]
    assert "To: a@h.example, b@h.example" in server.bodies[0]
    assert "Nothing is wrong." in server.bodies[0]


def test_a_mail_that_is_refused_is_said_so_without_the_servers_words(tmp_path: Path) -> None:
    with mail_server("554 we know CANARY^PATIENT") as server, pytest.raises(NotifyError) as refused:
        send(notifier(mail(server.port), tmp_path), MESSAGE)
    assert str(refused.value).endswith(": answered 554; check from, to, user and password_file")


def test_a_mail_does_not_go_where_starttls_is_not_offered(tmp_path: Path) -> None:
    with mail_server() as server, pytest.raises(NotifyError, match="offers no STARTTLS"):
        send(notifier(mail(server.port).replace('"none"', '"starttls"'), tmp_path), MESSAGE)
    assert server.bodies == []


def test_a_webhook_gets_json_and_the_secret_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("t0ken\n")
    with webhook() as server:
        (tmp_path / "hook").write_text(f"http://127.0.0.1:{server.port}/x\n")
        text = 'kind = "webhook"\nurl_file = "hook"\npassword_file = "secret"'
        send(notifier(text, tmp_path), MESSAGE)
    assert server.facts() == [dict(MESSAGE.facts)]
    assert server.headers[0]["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_answers_anything_but_success_has_not_taken_it(tmp_path: Path, status: int) -> None:
    with webhook(status) as server, pytest.raises(NotifyError, match=f"answered {status}"):
        send(notifier(f'kind = "webhook"\nurl = "http://127.0.0.1:{server.port}/"', tmp_path), MESSAGE)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("kind", ["smtp", "webhook"])
def test_a_server_that_is_not_there_is_named(tmp_path: Path, kind: str) -> None:
    port = free_port()
    text = mail(port) if kind == "smtp" else f'kind = "webhook"\nurl = "http://127.0.0.1:{port}/"'
    with pytest.raises(NotifyError, match="Connection refused"):
        send(notifier(text, tmp_path), MESSAGE)


def test_a_command_gets_the_facts_on_stdin_and_in_its_environment_but_no_secrets_of_the_relay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCMRELAY_BROKER_PASSWORD", "s3cret")
    script, out = tmp_path / "page.py", tmp_path / "out.json"
    script.write_text(
        "import json, os, sys\n"
        "got = {'stdin': json.load(sys.stdin), 'env': {k: v for k, v in os.environ.items() if k[:9] == 'DCMRELAY_'}}\n"
        "open(sys.argv[1], 'w').write(json.dumps(got))\n"
    )
    send(notifier(f'kind = "command"\ncommand = ["{sys.executable}", "{script}", "{out}"]', tmp_path), MESSAGE)
    got = json.loads(out.read_text())
    assert got["stdin"] == dict(MESSAGE.facts)
    assert got["env"]["DCMRELAY_OCCASION"] == "test"
    assert "DCMRELAY_BROKER_PASSWORD" not in got["env"]


@pytest.mark.parametrize(("program", "why"), [("/bin/false", "exit code 1"), ("/no/such", "No such file")])
def test_a_command_that_fails_has_not_told(tmp_path: Path, program: str, why: str) -> None:
    with pytest.raises(NotifyError, match=why):
        send(notifier(f'kind = "command"\ncommand = ["{program}"]', tmp_path), MESSAGE)
