"""``python -m kubenurse_otel``: the command line."""

import sys

from kubenurse_otel.cli import main

if __name__ == "__main__":
    sys.exit(main())
