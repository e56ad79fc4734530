"""`python -m isofield` is the command `isofield`."""

from isofield.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
