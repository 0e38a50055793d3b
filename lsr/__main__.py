"""`python -m lsr`, for programs that start Python modules, such as `accelerate launch -m lsr`."""

import sys

from lsr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
