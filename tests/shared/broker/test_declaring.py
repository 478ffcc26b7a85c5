"""What a worker declares at a real RabbitMQ, and what makes it refuse to work there."""

import json
from urllib.parse import urlsplit

import pytest
import structlog

from dcmrelay.private_broker import PrivateBroker
from shared.broker import Publisher, topology
from shared.broker.topology import Topology
from shared.errors import StartError
from tests.brokers import management
from tests.peers import free_port
from tests.shared.broker.ends import ROUTE, bare_channel, publishing
from tests.support import eventually

DESTINATIONS = ("archive", "reading")


def refusal(url: str) -> str:
    """What a publisher says when it gives up for good."""
    publisher = Publisher(url, topology(DESTINATIONS), "test")
    publisher.start()
    try:
        with pytest.raises(StartError) as error:
            publisher.link.first_try(40)
        return str(error.value)
    finally:
        publisher.stop()


def standing(node: PrivateBroker, url: str) -> Topology:
    """The table, as RabbitMQ lists what stands in a virtual host."""
    vhost = urlsplit(url).path.removeprefix("/")

    def listed(kind: str) -> list[dict[str, object]]:
        entries: list[dict[str, object]] = json.loads(management(node, "GET", f"/api/{kind}/{vhost}"))
        return entries

    exchanges = {str(e["name"]): str(e["type"]) for e in listed("exchanges") if str(e["name"]).startswith("dcmrelay")}
    queues = {str(q["name"]): q["arguments"] for q in listed("queues")}
    bindings = {
        (str(b["source"]), str(b["destination"]), str(b["routing_key"])) for b in listed("bindings") if b["source"]
    }
    table = topology(DESTINATIONS)
    assert queues == {queue.name: queue.all_arguments for queue in table.queues}
    assert bindings == {(b.exchange, b.queue, b.routing_key) for b in table.bindings}
    return Topology(exchanges=exchanges, queues=table.queues, bindings=table.bindings)


def test_the_whole_table_stands_once_a_worker_has_connected(shared_broker: PrivateBroker, broker_url: str) -> None:
    with publishing(broker_url, *DESTINATIONS):
        assert standing(shared_broker, broker_url) == topology(DESTINATIONS)


def test_a_second_worker_finds_the_table_as_it_should_be(broker_url: str) -> None:
    with publishing(broker_url, *DESTINATIONS), publishing(broker_url, *DESTINATIONS) as second:
        assert second.depth(ROUTE) == 0


def test_a_classic_queue_under_one_of_our_names_stops_a_worker(broker_url: str) -> None:
    with bare_channel(broker_url) as channel:
        channel.queue_declare(ROUTE, durable=True)
    line = refusal(broker_url)
    assert "another topology" in line
    assert f"'{ROUTE}'" in line
    assert "x-queue-type" in line
    assert "docs/queues.md" in line


def test_a_queue_with_another_argument_stops_a_worker(broker_url: str) -> None:
    with bare_channel(broker_url) as channel:
        arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1000, "x-dead-letter-exchange": "elsewhere"}
        channel.queue_declare("dcmrelay.send.archive", durable=True, arguments=arguments)
    line = refusal(broker_url)
    assert "'dcmrelay.send.archive'" in line
    assert "x-dead-letter-exchange" in line


def test_an_exchange_of_another_kind_stops_a_worker(broker_url: str) -> None:
    with bare_channel(broker_url) as channel:
        channel.exchange_declare("dcmrelay.delay", "topic", durable=True)
    assert "'dcmrelay.delay'" in refusal(broker_url)


def test_a_wrong_password_stops_a_worker_with_a_line_without_passwords(
    shared_broker: PrivateBroker, broker_url: str
) -> None:
    right = shared_broker.settings.password
    line = refusal(broker_url.replace(right, "mistyped"))
    assert "refused user 'dcmrelay'" in line
    assert "check [broker] url and password_file" in line
    assert right not in line
    assert "mistyped" not in line


def test_a_virtual_host_that_is_not_there_stops_a_worker(broker_url: str) -> None:
    assert "vhost 'elsewhere'" in refusal(broker_url.rpartition("/")[0] + "/elsewhere")


def test_a_user_who_may_not_declare_stops_a_worker(shared_broker: PrivateBroker, broker_url: str) -> None:
    vhost = urlsplit(broker_url).path.removeprefix("/")
    management(shared_broker, "PUT", "/api/users/small", json.dumps({"password": "s", "tags": ""}).encode())
    rights = {"configure": "^$", "write": ".*", "read": ".*"}
    management(shared_broker, "PUT", f"/api/permissions/{vhost}/small", json.dumps(rights).encode())
    ours = f"dcmrelay:{shared_broker.settings.password}"
    line = refusal(broker_url.replace(ours, "small:s"))
    management(shared_broker, "DELETE", "/api/users/small")
    assert "ACCESS_REFUSED" in line
    assert "dcmrelay.events" in line


@pytest.mark.parametrize("url", ["amqp://relay@127.0.0.1/", "amqp://relay:s3cret@127.0.0.1/?heartbeat=often"])
def test_an_address_that_cannot_be_used_stops_a_worker_without_quoting_it(url: str) -> None:
    with pytest.raises(StartError, match="set password_file") as error:
        Publisher(url, topology([]), "test")
    assert "s3cret" not in str(error.value)


def test_a_broker_that_is_not_there_is_said_once_and_waited_for() -> None:
    publisher = Publisher(f"amqp://nobody:secret@127.0.0.1:{free_port()}/", topology([]), "test")
    with structlog.testing.capture_logs() as lines:
        publisher.start()
        eventually(lambda: lines)
        assert publisher.link.wait_connected(1) is False
        publisher.link.first_try(0)  # it has been tried, and being away is no refusal
        publisher.stop()
    assert [line["event"] for line in lines] == ["broker_away"]
    assert "secret" not in str(lines)
