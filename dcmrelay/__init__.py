"""The command line and the all-in-one runner; the product itself is in producers, consumers and shared."""

import sys

# pydicom loads GDCM wherever it is installed: 22 MiB and native decoders that only the sender's child process needs,
# which does not import this package (ADR 0012).
sys.modules.setdefault("gdcm", None)  # type: ignore[arg-type]
