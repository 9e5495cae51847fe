"""What a user waits for first: `mfmat --help`, and `import mfmat` with every name beside `import botorch`.

Each is timed in fresh processes, in turns, and the fastest of five is kept.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from record import record

EVERYTHING = "import mfmat; [getattr(mfmat, name) for name in mfmat.__all__]"


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    commands = {
        "help_s": (str(Path(sys.executable).with_name("mfmat")), "--help"),
        "import_botorch_s": (sys.executable, "-c", "import botorch"),
        "import_mfmat_every_name_s": (sys.executable, "-c", EVERYTHING),
    }
    best = dict.fromkeys(commands, 1e9)
    for _ in range(5):
        for name, command in commands.items():
            best[name] = min(best[name], seconds(*command))
    longer = best["import_mfmat_every_name_s"] - best["import_botorch_s"]
    results = {name: round(value, 2) for name, value in best.items()} | {"longer_than_botorch_s": round(longer, 2)}
    record(
        "startup",
        results,
        says=f"The help takes {best['help_s']:.2f} s; every name of mfmat is {longer:.2f} s more than botorch.",
    )


if __name__ == "__main__":
    main()
