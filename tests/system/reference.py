"""The reference configuration that other people's checks are written against, and a copy of it for a test."""

import os
import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
REFERENCE = Path(os.environ.get("DCMRELAY_REFERENCE", PROJECT.parent / "shared/reference.toml"))


def copy_for_test(text: str, *, port: int, destinations: dict[str, int]) -> str:
    """The reference configuration on ports of the test's, and not so patient.

    Args:
        text: the reference configuration.
        port: of the ingress.
        destinations: ports by destination.
    """
    text = re.sub(r'(?m)^quiet = ".*?"', 'quiet = "2s"', text)
    text = re.sub(r'(?m)^quiet_after_release = ".*?"', 'quiet_after_release = "500ms"', text)
    text = re.sub(r"(?m)^verify = .*$", '  [destination.retry]\n  first = "500ms"\n  max = "1s"', text)
    text = text.replace("127.0.0.1:11112", f"127.0.0.1:{port}").replace('min_free = "10GB"', 'min_free = "1MB"')
    for name, its_port in destinations.items():
        text = re.sub(rf'(name = "{name}"\n(?:.*\n){{2}}port = )\d+', rf"\g<1>{its_port}", text)
    return text
