"""``python -m zmesh.runner``."""

from __future__ import annotations

import sys

from zmesh.runner.main import main

if __name__ == "__main__":
    sys.exit(main())
