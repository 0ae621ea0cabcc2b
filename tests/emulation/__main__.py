"""python3 -m emulation ARCH RELEASE KIND [FILE...] -- SCRIPT: boots and runs it, for a look by hand; files land in /bin."""
import sys
from pathlib import Path

from . import Machine

words = sys.argv[1:]
if words.count("--") != 1 or words.index("--") < 3:
    sys.exit(__doc__)
cut = words.index("--")
arch, release, kind, *files = words[:cut]
run = Machine(arch, release, kind, files={f"/bin/{Path(name).name}": Path(name) for name in files}).run(" ".join(words[cut + 1:]))
print(run.text, end="")
print(f"{run.kernel}: {run.seconds:.1f} s, status {run.status}", file=sys.stderr)
sys.exit(run.status)
