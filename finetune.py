"""XTTS Finetune: `python finetune.py` opens the page, `python finetune.py COMMAND --help` tells the rest."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit status."""
    from cli.commands import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
