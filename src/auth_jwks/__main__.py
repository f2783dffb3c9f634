"""`python -m auth_jwks`: the command, where no script was installed."""

import sys

from auth_jwks.cli._main import main

if __name__ == "__main__":
    sys.exit(main())
