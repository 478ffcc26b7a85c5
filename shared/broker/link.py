"""One connection to RabbitMQ in one thread, made again whenever it breaks."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelClosedByBroker,
    NackError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_when_event_set,
    wait_exponential,
    wait_random,
)
from tenacity.nap import sleep_using_event

from shared import metrics
from shared.broker.topology import Topology
from shared.errors import BrokerError, StartError, where

log = structlog.get_logger()
R = TypeVar("R")
Act = Callable[[BlockingChannel], R]
_BROKEN = (AMQPError, OSError)
_REFUSED = (AuthenticationError, ProbableAuthenticationError, ProbableAccessDeniedError)
_ACTION_SECONDS, _HEARTBEAT = 60, 60
_ACCESS_REFUSED, _PRECONDITION_FAILED = 403, 406


class Link:
    """A connection with one channel. Everything on it happens in its own thread; others hand in acts.

    Args:
        url: AMQP URL.
        role: `consume` or `publish`, for metrics and the connection's name at the broker.
        name: the worker, for the connection's name.
        ready: called with each new channel, in the link's thread.
        lost: called when the connection broke, in the link's thread.
        tick: called about once a second while connected, in the link's thread.
    """

    def __init__(
        self,
        url: str,
        *,
        role: str,
        name: str,
        ready: Act[None],
        lost: Callable[[], None] = lambda: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._parameters = parameters(url, f"dcmrelay {name} {role}")
        self._role, self._ready, self._lost, self._tick = role, ready, lost, tick
        self._stopping = threading.Event()
        self._connected, self._tried = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None
        self._pending: set[Future[Any]] = set()
        self._ever_connected = False
        self._failed: StartError | None = None
        self._thread = threading.Thread(target=self._run, name=f"amqp-{role}-{name}", daemon=True)

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._thread.start()

    def wait_connected(self, seconds: float) -> bool:
        """Whether there is a connection within so many seconds.

        Raises:
            StartError: the broker refuses this user, or has a queue of another kind under one of our names.
        """
        self._connected.wait(seconds)
        if self._failed is not None:
            raise self._failed
        return self._connected.is_set()

    def first_try(self, seconds: float) -> None:
        """Waits until the first try to connect is over, for so many seconds at most; a broker that is away is no error.

        Raises:
            StartError: as `wait_connected`.
        """
        self._tried.wait(seconds)
        if self._failed is not None:
            raise self._failed

    @property
    def failed(self) -> StartError | None:
        """Why the link gave up for good, or None."""
        return self._failed

    def do(self, act: Act[R]) -> R:
        """Run an act on the channel in the link's thread and wait for it.

        Raises:
            BrokerError: no connection, or it broke before the act was done: whether it was done is not known.
        """
        future: Future[R] = Future()
        with self._lock:
            self._hand_in(lambda: self._perform(act, future))
            self._pending.add(future)
        try:
            return future.result(timeout=_ACTION_SECONDS)
        except UnroutableError:
            self.renew()
            raise BrokerError("RabbitMQ has no queue for a message: a binding was taken away") from None
        except NackError:
            self.renew()  # else a channel goes on refusing for a queue that was full (RabbitMQ 3.10)
            raise BrokerError("RabbitMQ refused a message: a queue is full") from None
        except TimeoutError:
            raise BrokerError(f"RabbitMQ did not answer within {_ACTION_SECONDS} s") from None
        except _BROKEN as error:
            raise BrokerError(f"RabbitMQ did not confirm ({type(error).__name__})") from error
        finally:
            with self._lock:
                self._pending.discard(future)

    def renew(self) -> None:
        """Connect again, soon, which declares and verifies the topology again."""
        with self._lock, contextlib.suppress(BrokerError):
            if self._channel is not None:
                self._hand_in(self._channel.close)

    def stop(self) -> None:
        """Close the connection; unacknowledged messages go back to their queues."""
        self._stopping.set()
        with self._lock, contextlib.suppress(BrokerError):
            self._hand_in(lambda: None)
        if self._thread.is_alive():
            self._thread.join(5)

    def _hand_in(self, act: Callable[[], None]) -> None:
        """Have the link's thread do something soon; asked with the lock held."""
        if self._connection is None:
            raise BrokerError("RabbitMQ is away")
        try:
            self._connection.add_callback_threadsafe(act)
        except AMQPError as error:  # it broke, and the link's thread has not seen that yet
            raise BrokerError("RabbitMQ went away") from error

    def _perform(self, act: Act[R], future: Future[R]) -> None:
        if future.done() or self._channel is None:
            return
        try:
            future.set_result(act(self._channel))
        except _BROKEN as error:
            future.set_exception(error)

    def _run(self) -> None:
        retrying = Retrying(
            retry=retry_if_exception_type(BrokerError),
            wait=wait_exponential(multiplier=0.2, max=5) + wait_random(0, 0.3),
            sleep=sleep_using_event(self._stopping),
            stop=stop_when_event_set(self._stopping),
            before_sleep=self._say_once,
            retry_error_callback=lambda _: None,
        )
        try:
            while not self._stopping.is_set():
                retrying(self._connected_once)
        except StartError as error:
            self._failed = error
            self._connected.set()
            self._tried.set()
            log.error("broker_refused", problem=str(error))
        except Exception as error:  # noqa: BLE001  (the worker must not live on deaf; its text may hold values)
            self._failed = StartError(f"the connection ended by a fault: {type(error).__name__} at {where(error)}")
            self._connected.set()
            self._tried.set()
            log.error("broker_link_broke", error=type(error).__name__, at=where(error))

    def _say_once(self, tried: RetryCallState) -> None:
        self._tried.set()
        if tried.attempt_number == 1 and tried.outcome is not None:
            log.warning("broker_away", role=self._role, why=str(tried.outcome.exception()))

    def _connected_once(self) -> None:
        """Connect and serve until the connection breaks; BrokerError when it could not be made."""
        try:
            connection = pika.BlockingConnection(self._parameters)
        except _REFUSED as error:
            # A node that was erased knows its users a moment after it listens.
            kind = BrokerError if self._ever_connected else StartError
            raise kind(_refused(self._parameters)) from error
        except _BROKEN as error:
            raise BrokerError(f"RabbitMQ is away ({type(error).__name__})") from error
        try:
            self._serve(connection)
        except ChannelClosedByBroker as error:
            if error.reply_code == _PRECONDITION_FAILED:
                raise StartError(f"RabbitMQ has another topology: {error.reply_text}; see docs/queues.md") from error
            if error.reply_code == _ACCESS_REFUSED:
                raise StartError(f"RabbitMQ does not let us: {error.reply_text}; see docs/queues.md") from error
            raise BrokerError(f"RabbitMQ closed the channel ({error.reply_code})") from error
        except _BROKEN as error:
            log.warning("broker_lost", role=self._role, why=type(error).__name__)
        finally:
            self._disconnected(connection)

    def _serve(self, connection: pika.BlockingConnection) -> None:
        channel = connection.channel()
        self._ready(channel)
        with self._lock:
            self._connection, self._channel = connection, channel
        self._ever_connected = True
        self._connected.set()
        self._tried.set()
        metrics.BROKER_CONNECTED.labels(role=self._role).set(1)
        while not self._stopping.is_set():
            connection.process_data_events(time_limit=1)
            if not channel.is_open:
                return
            self._tick()

    def _disconnected(self, connection: pika.BlockingConnection) -> None:
        with self._lock:
            self._connection = self._channel = None
            pending, self._pending = self._pending, set()
        self._connected.clear()
        metrics.BROKER_CONNECTED.labels(role=self._role).set(0)
        for future in pending:
            if not future.done():
                future.set_exception(BrokerError("RabbitMQ went away"))
        self._lost()
        try:
            if connection.is_open:
                connection.close()
        except _BROKEN:
            log.debug("broker_close_failed", role=self._role)


def parameters(url: str, name: str) -> pika.URLParameters:
    """Connection parameters of an AMQP URL with our heartbeat, unless it asks for a shorter one, and time limits.

    Raises:
        StartError: it cannot be used; says nothing of what it is, which may hold a password.
    """
    try:
        ours = pika.URLParameters(url)
    except (TypeError, ValueError):
        remedy = "write amqps://USER@HOST:PORT/VHOST and set password_file"
        raise StartError(f"[broker] url names no password, or is not one that AMQP knows: {remedy}") from None
    asked = ours.heartbeat
    ours.heartbeat = asked if isinstance(asked, int) and 0 < asked < _HEARTBEAT else _HEARTBEAT
    ours.blocked_connection_timeout = 60
    ours.socket_timeout = 10
    ours.stack_timeout = 15
    ours.connection_attempts = 1
    ours.client_properties = {"connection_name": name}
    return ours


def declare(channel: BlockingChannel, table: Topology) -> None:
    """Declare the topology, which verifies it too: a queue that stands with other arguments closes the channel.

    Passive declaration would ignore the arguments.
    """
    for name, kind in table.exchanges.items():
        channel.exchange_declare(name, kind, durable=True)
    for queue in table.queues:
        channel.queue_declare(queue.name, durable=True, arguments=queue.all_arguments)
    for binding in table.bindings:
        arguments = {"x-match": "all", **binding.headers} if binding.headers else None
        channel.queue_bind(binding.queue, binding.exchange, binding.routing_key, arguments=arguments)


def _refused(ours: pika.URLParameters) -> str:
    user = getattr(ours.credentials, "username", "?")
    return (
        f"RabbitMQ at {ours.host}:{ours.port} refused user '{user}' on vhost '{ours.virtual_host}': "
        "check [broker] url and password_file"
    )
