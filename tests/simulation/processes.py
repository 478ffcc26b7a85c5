"""A process of the relay that does everything: ingress, router, anonymizer, senders, janitor; killed like any other."""

import contextlib
import queue
import threading
from collections.abc import Callable
from datetime import timedelta

from consumers.anonymizer.handler import Anonymizer
from consumers.janitor.sweep import sweep
from consumers.router.handler import Router
from consumers.sender.handler import Sender
from producers.ingress.closing import Closing
from producers.ingress.parts import OpenParts, Session
from producers.ingress.sink import Sink
from shared.dimse import Proposal, StoreRequest
from shared.errors import HandedBackError
from shared.messages import Bell, Ring
from shared.outcomes import Outcome
from shared.spool.epochs import newest_epoch, take_over
from shared.spool.runs import Run
from shared.spool.spool import Spool
from shared.spool.states import Retry
from shared.work import Claim, Handle, Worker
from tests.shared.spool.examples import data_set
from tests.simulation.world import Message, ToSend, World

SWEEP_EVERY = timedelta(seconds=10)
_RETRY = Retry(longest=timedelta(seconds=30), faults=9)


class Killed(BaseException):
    """kill -9: nothing of the process is done after this."""


class Process:
    """One life of a process.

    Args:
        world: around it.
        number: makes it another process than any before.
        before_step: called at each durable step, with what it is; raises Killed.
        owns: the destinations that it is the active consumer of; None for all.
    """

    def __init__(
        self, world: World, number: int, before_step: Callable[[str], None], owns: set[str] | None = None
    ) -> None:
        self.name = f"sim.0.1/{number}/{number}"
        self._world, self._before_step, self._dead = world, before_step, False
        world.alive.add(self.name)
        world.current = self
        self.spool = Spool(world.root, clock=world.now, step=self.step)
        self._parts = OpenParts(world.monotonic)
        self._sessions: dict[str, Session] = {}
        self._epochs: dict[str, int] = {}
        self._swept = world.elapsed - SWEEP_EVERY
        stopping = threading.Event()
        self._workers = {
            "route": self._worker(Router(self.spool).handle),
            "render": self._worker(Anonymizer(self.spool, world.config).handle),
        }
        for destination in world.config.destinations:
            sender = Sender(
                self.spool, destination, may_send=self._may_send(destination.name), stopping=stopping
            )  # fmt: skip
            self._workers[f"send.{destination.name}"] = self._worker(sender.handle)
        self.owns = {destination.name for destination in world.config.destinations} if owns is None else owns
        self._run = Run(self.spool)
        self._closing = Closing(self.spool, world.config, self._parts, self._run, stopping)
        self._closing.adopt()

    def _worker(self, handle: Handle) -> Worker:
        def checked(claim: Claim) -> Outcome:
            self._world.check_claim(claim.id, claim.state.n)
            return handle(claim)

        return Worker(self.spool, checked, _RETRY, jitter=self._world.rng.random)

    def step(self, what: str) -> None:
        """A durable step; a dead process makes none, whatever its `finally` clauses try."""
        if self._dead:
            raise Killed
        try:
            self._before_step(what)
        except Killed:
            self._dead = True
            self._world.died(self.name)
            raise

    def turn(self) -> bool:
        """Do one thing that is due; False when there is nothing."""
        return self._receive() or self._close() or self._answer() or self._sweep()

    def _receive(self) -> bool:
        world = self._world
        due = [it for it in world.to_send if it.not_before <= world.elapsed]
        if not due:
            return False
        if self._store(due[0]) == 0:
            world.accepted[due[0].uid] += 1
            with contextlib.suppress(ValueError):
                world.to_send.remove(due[0])
        return True

    def _store(self, it: ToSend) -> int:
        content = data_set(it.uid, it.study)
        request = StoreRequest(
            context_id=1, message_id=1, affected_sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            affected_sop_instance_uid=it.uid, transfer_syntax_uid="1.2.840.10008.1.2.1",
        )  # fmt: skip
        session = self._sessions.setdefault(it.study, self._session())
        sink = Sink(self.spool, self._parts, session, request, run=self._run.id, quiet=(5, 1), has_room=lambda: True)
        try:
            sink.write(memoryview(content))
            return sink.commit()
        except BaseException:
            sink.discard()
            raise

    def _session(self) -> Session:
        source = self._world.config.source("ct-1")
        assert source is not None
        proposal = Proposal(host="127.0.0.1", calling_ae_title="CT1", called_ae_title="DCMRELAY")
        return Session(source=source, proposal=proposal)

    def _close(self) -> bool:
        over = self._parts.take_over()
        for open_part in over:
            self._closing.close(open_part)
        with contextlib.suppress(queue.Empty):
            while True:
                told = self._closing._to_tell.get_nowait()
                self._world.publish([Ring(routing_key="route", bell=Bell(unit=told.id, n=0))])
        return bool(over)

    def _answer(self) -> bool:
        keys = {"route", "render"} | {f"send.{name}" for name in self.owns}
        message = self._world.take(self.name, keys)
        if message is None:
            return False
        self._look(message)
        self._world.acknowledge(self.name, message)
        return True

    def _look(self, message: Message) -> None:
        stage, _, destination = message.key.partition(".")
        if stage == "send" and destination not in self._epochs:
            self._epochs[destination] = take_over(self.spool, destination)
        words = self._workers[message.key].look(message.bell, redelivered=message.redelivered)
        self._world.publish(words.rings)

    def _may_send(self, destination: str) -> Callable[[], None]:
        def check() -> None:
            if newest_epoch(self.spool, destination) != self._epochs.get(destination):
                raise HandedBackError("another process owns it now")

        return check

    def give_up(self, destination: str) -> None:
        """The broker took the destination away; what is being sent goes on until the epoch is looked at."""
        self.owns.discard(destination)

    def own(self, destination: str) -> None:
        """The broker made it the destination's active consumer."""
        self.owns.add(destination)
        self._epochs.pop(destination, None)

    def _sweep(self) -> bool:
        world = self._world
        if world.elapsed - self._swept < SWEEP_EVERY:
            return False
        self._swept = world.elapsed
        for key, due in sweep(self.spool, world.config.hash).rings.items():
            if world.depth(key) < len(due):
                world.publish(due)
        self._run.beat()
        return True
