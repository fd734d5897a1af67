"""Compiles what does not change from simulator to simulator once: the runtime of Verilator.

Verilator's makefiles put the program named by OBJCACHE in front of every run of the compiler.
This one keeps the objects of Verilator's own sources, by what they were made from, and runs the
compiler for everything else.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION_HEADER = "verilated_config.h"


def main(cache: Path, command: list[str]) -> int:
    source = Path(command[-1])
    # Other headers of the runtime are not looked at: they change with the version in this one.
    version = source.parent / VERSION_HEADER
    if source.suffix != ".cpp" or not version.is_file():
        return subprocess.run(command).returncode
    target = Path(command[command.index("-o") + 1])
    made_from = [" ".join(command).encode(), source.read_bytes(), version.read_bytes()]
    kept = cache / f"{hashlib.sha256(b'|'.join(made_from)).hexdigest()[:20]}.o"
    if not kept.is_file():
        status = subprocess.run(command).returncode
        if status:
            return status
        cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        shutil.copyfile(target, partial)
        partial.replace(kept)
    else:
        shutil.copyfile(kept, target)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
