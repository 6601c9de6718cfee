"""Makes an environment for each peer, from exact versions."""

import subprocess
import sys

from benchmarks.contenders import ENVIRONMENTS, HERE, Contender


def install(contender: Contender) -> bool:
    """Makes the contender's environment unless it is there; False, with the reason printed, where that fails."""
    if contender.peer is None:
        return True
    requirements = HERE / "peers" / contender.peer / "requirements.txt"
    folder = ENVIRONMENTS / contender.peer
    made = folder / ".made"
    if made.is_file() and made.read_text() == requirements.read_text():
        return True
    print(f"making an environment for {contender.peer} (once)", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [str(contender.python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--requirement", str(requirements)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{contender.name} is left out: {error}", flush=True)
        return False
    made.write_text(requirements.read_text())
    return True
