"""The worker runtime: claim, handle, settle, ring, acknowledge."""

from shared.work.claim import Claim
from shared.work.said import Said
from shared.work.worker import Handle, Worker

__all__ = ["Claim", "Handle", "Said", "Worker"]
