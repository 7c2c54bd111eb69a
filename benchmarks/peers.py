"""LiteLLM's proxy from PyPI, in an environment of its own: its libraries and ours do not mix."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import BenchmarkError
from benchmarks.servers import Lab, Server

_FOLDER = Path(__file__).parents[1] / ".bench" / "litellm"


def litellm(lab: Lab, model: Server) -> list[Server]:
    """Return the proxy, started, where it was asked for."""
    if not lab.with_litellm:
        return []
    executable = _FOLDER / "bin" / "litellm"
    if not executable.exists():
        _install()
    return [lab.litellm(model, executable)]


def _install() -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise BenchmarkError("uv is needed to install LiteLLM: `make bench` knows where it is")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, _FOLDER], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(_FOLDER / "bin" / "python")]
    subprocess.run([*install, "litellm[proxy]"], check=True)
