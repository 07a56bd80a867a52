"""The circumstances of a run: time, command, versions, git commit and machine, for `run.json`."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path


def circumstances() -> dict:
    """Returns date, command, versions and machine of this process, as JSON types."""
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command(),
        "versions": versions(),
        "git": commit(),
        "host": {"name": platform.node(), "system": platform.platform(), "cpu": cpu_model(), "cpus": os.cpu_count()},
    }


def command() -> list[str]:
    """Returns the command of this process, without the interpreter: ["train.py", ...] or ["-m", "module", ...]."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.name.removesuffix(".__main__")] if spec else [Path(sys.argv[0]).name]
    return [*program, *sys.argv[1:]]


def versions() -> dict[str, str]:
    """Returns the versions of the software that determines the numbers of a run."""
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    return {
        "gan_zoo": _version(),
        "python": platform.python_version(),
        **{p: importlib.metadata.version(p) for p in packages},
    }


def cpu_model() -> str:
    """Returns the model name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _version() -> str:
    import gan_zoo

    return gan_zoo.__version__


def commit() -> str | None:
    """Returns the commit of the zoo's own clone, with "+" if files differ from it. None without a clone."""
    home = Path(__file__).resolve().parents[2]
    if not (home / ".git").exists():
        return None
    try:
        commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
        said = [subprocess.run(c, cwd=home, capture_output=True, check=True).stdout for c in commands]
    except (OSError, subprocess.CalledProcessError):
        return None
    return said[0].decode().strip() + ("+" if said[1].strip() else "")
