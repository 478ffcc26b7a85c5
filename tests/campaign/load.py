"""Modalities that never stop: small studies, each instance again and again until it is acknowledged."""

import hashlib
import os
import random
import threading
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Self

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from shared.dimse import Timeouts, request
from shared.errors import DcmrelayError
from tests.system.images import ct_instance

ROOT = "1.2.826.0.1.3680043.10.1999."
CANARY = "CANARY"
_PIXELS = 32 * 32 * 2
_STUDY, _SERIES, _INSTANCE = (f"{ROOT}{kind}.{'1' * 16}" for kind in (1, 2, 3))
_QUICK = Timeouts(connect=5, associate=5, pdu=5, idle=30, response=15, release=2)


def _template() -> bytes:
    ds = ct_instance(_STUDY, _SERIES, 1, 32)
    ds.SOPInstanceUID = _INSTANCE
    ds.PatientName, ds.PatientID, ds.AccessionNumber = f"{CANARY}^PATIENT", f"{CANARY}-ID", f"{CANARY}-A"
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return data_set_of(file.getvalue())


def data_set_of(file: bytes) -> bytes:
    """The data set of a Part 10 file with its group length first (PS3.10 7.1)."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


@dataclass(frozen=True)
class Sent:
    """One instance that a modality holds.

    Args:
        source: calling AE title.
        uid: SOP Instance UID.
        content: the data set.
    """

    source: str
    uid: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the data set; the spool names the instance so."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pixels(self) -> str:
        """What de-identification leaves as it is, and no two instances share."""
        return pixels_of(self.content)


def pixels_of(content: bytes) -> str:
    """SHA-256 of the pixels at the end of a data set of ours."""
    return hashlib.sha256(content[-_PIXELS:]).hexdigest()


TEMPLATE = _template()


def study(source: str, count: int) -> list[Sent]:
    """A new study of so many instances."""
    numbers = [f"{random.SystemRandom().randrange(10**15, 10**16)}" for _ in range(2 + count)]
    head = TEMPLATE[:-_PIXELS].replace(_STUDY.encode(), f"{ROOT}1.{numbers[0]}".encode())
    head = head.replace(_SERIES.encode(), f"{ROOT}2.{numbers[1]}".encode())
    uids = [f"{ROOT}3.{number}" for number in numbers[2:]]
    return [Sent(source, uid, head.replace(_INSTANCE.encode(), uid.encode()) + os.urandom(_PIXELS)) for uid in uids]


class Load:
    """Sends from threads of its own, one per AE title, from `with` to its end.

    Args:
        host: of the ingress.
        port: likewise.
        pause: seconds between studies.

    Attributes:
        acknowledged: what was answered with success, by SHA-256.
        not_taken: associations and stores that failed.
        open: associations that bring something now.
    """

    def __init__(self, host: str, port: int, pause: float, titles: tuple[str, ...] = ("CT1", "MR1")) -> None:
        self.acknowledged: dict[str, Sent] = {}
        self.not_taken = 0
        self.open: set[str] = set()
        self._host, self._port, self._pause = host, port, pause
        self._enough, self._gone = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(title,)) for title in titles]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """What is being sent is still brought to its end, unless the trial failed."""
        self._enough.set()
        if error is not None:
            self._gone.set()
        for thread in self._threads:
            thread.join(90)
        self._gone.set()
        assert not any(thread.is_alive() for thread in self._threads), "the relay does not take what is sent"

    def _run(self, title: str) -> None:
        while not self._enough.wait(self._pause):
            left = study(title, random.SystemRandom().randrange(2, 7))
            while (left := self._unacknowledged(title, left)) and not self._gone.wait(0.2):
                pass

    def _unacknowledged(self, title: str, left: list[Sent]) -> list[Sent]:
        taken = 0
        try:
            contexts = [(CTImageStorage, [ExplicitVRLittleEndian])]
            with request(
                self._host, self._port, calling_ae_title=title, called_ae_title="DCMRELAY", contexts=contexts,
                timeouts=_QUICK,
            ) as association:  # fmt: skip
                context = association.accepted_context(CTImageStorage, ExplicitVRLittleEndian)
                assert context is not None
                self.open.add(title)
                for it in left:
                    status = association.store(
                        memoryview(it.content), 0, len(it.content), context_id=context,
                        sop_class_uid=CTImageStorage, sop_instance_uid=it.uid,
                    )  # fmt: skip
                    if status:
                        self.not_taken += 1
                        break
                    self.acknowledged[it.sha256] = it
                    taken += 1
        except DcmrelayError:
            self.not_taken += 1
        finally:
            self.open.discard(title)
        return left[taken:]
