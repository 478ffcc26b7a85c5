"""`python -m dcmrelay`: the command line."""

import gc

# A command makes a million objects and hardly any rubbish: a third of its time went into looking for that.
_SELDOM = (1_000_000, 50, 50)


def main() -> None:
    """The command line, of which a worker, which stays, looks for rubbish as often as is usual."""
    gc.set_threshold(*_SELDOM)
    from dcmrelay.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
