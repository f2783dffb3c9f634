"""`python -m auth_jwks`: the command, if its script is not installed."""

import sys

from auth_jwks.cli._main import main

if __name__ == "__main__":
    sys.exit(main())
