"""How much is measured: in full, or quickly."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Numbers of a run.

    Args:
        rounds: how often each comparison is repeated.
        ct: CT instances of 525 KB in a study.
        mr: MR instances of 132 KB in a study.
        stock: instances sent to or by stock peers, which take 40 ms each.
        small_studies: studies of two instances.
        growth: instances of the largest study.
        waiting: deliveries that wait for a dead destination.
        live: studies that are relayed meanwhile.
        frames: frames of 512 KB of the multi-frame instance.
        render_studies: studies of 100 small instances to de-identify with one and with two workers.
        scripts_stock: whether the scripts run with stock DCMTK too, for half a minute.
    """

    rounds: int
    ct: int
    mr: int
    stock: int
    small_studies: int
    growth: int
    waiting: int
    live: int
    frames: int
    render_studies: int
    scripts_stock: bool


FULL = Sizes(
    rounds=3,
    ct=300,
    mr=1000,
    stock=100,
    small_studies=200,
    growth=10_000,
    waiting=10_000,
    live=40,
    frames=4096,
    render_studies=24,
    scripts_stock=True,
)
QUICK = Sizes(
    rounds=2,
    ct=60,
    mr=200,
    stock=20,
    small_studies=20,
    growth=1000,
    waiting=1000,
    live=10,
    frames=512,
    render_studies=8,
    scripts_stock=False,
)
