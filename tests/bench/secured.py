"""Over TLS, both ways: storescu to our ingress and to others, our requestor and storescu to a storescp."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from shared.dimse import TlsFiles, tls
from tests.bench import dcmtk
from tests.bench.orthanc import orthanc
from tests.bench.rounds import by_turns
from tests.bench.rows import Row
from tests.bench.sizes import Sizes
from tests.bench.store import facts_of, store_all
from tests.bench.studies import CT, study
from tests.certificates import authority, dcmtk_tls, ingress_tls, orthanc_tls
from tests.producers.ingress.running import ingress_process


def secured(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """Rows of the instances a second in one association over TLS; no goal stands for them."""
    world = authority(folder / "certificates")
    relay, peer = world.issue("relay", "IP:127.0.0.1"), world.issue("peer", "IP:127.0.0.1")
    options = dcmtk_tls(world, peer)
    requesting = tls.requesting(TlsFiles(ca=world.ca, certificate=relay.certificate, key=relay.key), "127.0.0.1", "--")

    def files() -> list[Path]:
        made = study(folder, CT, sizes.ct)
        os.sync()
        return made

    def brings(port: int) -> Callable[[], float]:
        return lambda: dcmtk.send(folder, port, files(), tuned=True, secured=options).rate

    with ExitStack() as stack:
        ours = stack.enter_context(ingress_process(folder, more=ingress_tls(world, relay))).tls_port
        pacs = stack.enter_context(orthanc(folder, "TUNED", tuned=True, settings=orthanc_tls(world, peer))).port
        scp = stack.enter_context(dcmtk.receiver(folder, "TUNEDSCP", *options, tuned=True)).port
        what = f"{sizes.ct} × {CT.name}, from tuned storescu"
        rates = by_turns(
            f"TLS {what}",
            sizes.rounds,
            {"ours": brings(ours), "tuned Orthanc": brings(pacs), "tuned storescp": brings(scp)},
        )
        for name in ("tuned Orthanc", "tuned storescp"):
            yield _row(what, rates["ours"], name, rates[name])
        what = f"{sizes.ct} × {CT.name}, to tuned storescp, bare loop"
        runs = {"ours": lambda: store_all(scp, facts_of(files()), tls=requesting), "theirs": brings(scp)}
        rates = by_turns(f"TLS {what}", sizes.rounds, runs)
        yield _row(what, rates["ours"], "tuned storescu", rates["theirs"])


def _row(what: str, ours: list[float], name: str, theirs: list[float]) -> Row:
    return Row(section="TLS", what=what, unit="/s", ours=ours, name=name, theirs=theirs, better="higher")
