"""The dead letter queues, kept like the spool: a pointer for each dead letter, for people and dashboards to look at."""

from collections.abc import Collection, Mapping
from typing import get_args

from shared.broker import Publisher, dead_queue
from shared.errors import DeadLetterClass
from shared.messages import Bell


class Projection:
    """The five class queues.

    Args:
        publisher: to RabbitMQ.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._shown: dict[str, set[Bell]] = {}

    def bring_up_to_date(self, dead: Mapping[str, Collection[Bell]]) -> None:
        """Fill a queue anew when it holds another number than there are, or something that is a dead letter no more.

        Raises:
            BrokerError: not done, or only in part; the next time mends it.
        """
        for word in get_args(DeadLetterClass):
            there = set(dead.get(word, ()))
            gone = self._shown.get(word, set()) - there
            if gone or self._publisher.depth(dead_queue(word)) != len(there):
                self._publisher.purge(dead_queue(word))
                for bell in sorted(there, key=lambda bell: bell.unit):
                    self._publisher.point(word, bell, journey="")
            self._shown[word] = there
