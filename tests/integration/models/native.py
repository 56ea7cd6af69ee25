"""Files of the program as a shared library of their own, so that no other part of it has a say."""

import ctypes
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
FLAGS = ["-std=gnu17", "-O2", "-fPIC", "-shared", "-D_GNU_SOURCE", "-ffp-contract=off"]


def load(folder, sources, libraries=()):
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not compiler:
        print("skipped: no C compiler")
        sys.exit(77)
    library = pathlib.Path(folder) / "libnative.so"
    linked = [f"-l{name}" for name in (*libraries, "m")]
    subprocess.run([compiler, *FLAGS, f"-I{ROOT}", *[str(ROOT / s) for s in sources], "-o", str(library), *linked], check=True)
    return ctypes.CDLL(str(library))
