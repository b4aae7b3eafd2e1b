"""The library in a terminal: `python -m vlm ask photo.jpg "What is this?"`, or `--help`."""

import sys

from vlm.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
