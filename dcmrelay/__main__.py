"""`python -m dcmrelay`: the command line."""

from dcmrelay.cli import main

if __name__ == "__main__":
    main()
