"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="F", help="Configuration file; else $DCMRELAY_CONFIG, else ./dcmrelay.toml."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
