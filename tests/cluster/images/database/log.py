"""One line to the container's output."""

import sys
from datetime import datetime, timezone


def log(message):
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    print(f"{now} entry: {message}", file=sys.stderr, flush=True)
