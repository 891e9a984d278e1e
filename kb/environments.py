"""A Python environment of its own, and packages into it: by uv where it is there, else by pip, from the same places."""

import ast
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kb.errors import KBError
from kb.processes import run_tool

_HERE = Path(__file__).resolve().parent
# pip's settings → what uv calls them. Lists are parted by spaces for pip, find-links by commas for uv.
_PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def python_of(home: Path) -> Path:
    """The interpreter of the environment in `home`, there or not."""
    return home / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Environment:
    """`home` is its folder; `uv` the program that installs into it, None: its own pip does."""

    home: Path
    uv: str | None

    @property
    def python(self) -> Path:
        return python_of(self.home)

    def install(self, requirements: Path, constraints: Path) -> None:
        """Install what a file names, in the versions that another names; without its requirements where its name ends in -nodeps.

        Without a GPU the CPU build of torch is asked for: of the indexes that are set, then of the one that uv knows.
        Raises KBError.
        """
        argv = (
            [self.uv, "pip", "install", "--python", str(self.python)] if self.uv else [str(self.python), "-m", "pip", "install"]
        )
        argv += [*(["--no-deps"] if requirements.stem.endswith("-nodeps") else []), "-c", str(constraints)]
        argv += ["-r", str(requirements)]
        tries = [argv]
        if (pin := _torch(requirements)) and not _has_gpu():
            tries = [[*argv, f"{pin}+cpu"], *([[*argv, "--torch-backend", "cpu"]] if self.uv else []), argv]
        env = _as_uv(_pip_settings()) if self.uv else {}
        if not any(run_tool(one, cwd=_HERE.parent, env=env) == 0 for one in tries):
            raise KBError(f"The packages of {requirements.name} cannot be installed; what is written above says why.")

    def run(self, code: str) -> str:
        """Run some Python in it; returns what that prints last. Raises KBError where it fails."""
        status, printed = _capture([str(self.python), "-c", code])
        if status:
            raise KBError(f"What was installed does not work: {printed.strip().rpartition(chr(10))[2]}.")
        return printed.strip().rpartition("\n")[2]


def interpreter_of(versions: Sequence[str], tool: str) -> str:
    """The Python that runs this where it is one of `versions` ("3.12"), else the newest of them on PATH. Raises KBError."""
    own = "{}.{}".format(*sys.version_info[:2])
    if own in versions:
        return sys.executable
    for version in reversed(versions):
        # A name on PATH may be a stand-in that only says which versions there are (pyenv), so it is asked.
        if (found := shutil.which(f"python{version}")) and _capture([found, "-c", "import venv"])[0] == 0:
            return found
    raise KBError(
        f"{tool} runs on Python {' or '.join(versions)}. This is {own}, and none of these is on PATH: install {versions[-1]} "
        "beside it and try again."
    )


def make_environment(home: Path, interpreter: str) -> Environment:
    """A new, empty one, of that Python. Raises KBError."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv and run_tool([uv, "venv", "--quiet", "--python", interpreter, str(home)], cwd=_HERE.parent) == 0:
        return Environment(home, uv)
    if run_tool([interpreter, "-m", "venv", "--clear", str(home)], cwd=_HERE.parent):
        raise KBError(f"{home} cannot be made; what is written above says why.")
    return Environment(home, None)


def _torch(requirements: Path) -> str:
    lines = requirements.read_text("utf-8").splitlines()
    return next((line.split("#")[0].strip() for line in lines if line.startswith("torch==")), "")


def _has_gpu() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _pip_settings() -> dict[str, str]:
    """What pip was told, in its files and its variables; the last word counts, as for pip itself."""
    status, printed = _capture([sys.executable, "-m", "pip", "config", "list"])
    told: dict[str, str] = {}
    for line in printed.splitlines() if status == 0 else ():
        name, equals, value = line.partition("=")
        if equals and value[:1] in "'\"":
            place, _, key = name.rpartition(".")
            if place in ("global", "install") or (place == ":env:" and key not in told):
                told[key] = str(ast.literal_eval(value))
    return told


def _as_uv(told: dict[str, str]) -> dict[str, str]:
    """The same for uv, which else takes the first index that has a package for the only one."""
    env = {name: " ".join(told[key].split()) for key, name in _PIP_TO_UV.items() if told.get(key)}
    if "UV_FIND_LINKS" in env:
        env["UV_FIND_LINKS"] = env["UV_FIND_LINKS"].replace(" ", ",")
    return env | {"UV_INDEX_STRATEGY": "unsafe-best-match"}


def _capture(argv: list[str]) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "out.txt"
        status = run_tool(argv, cwd=Path(folder), log=log)
        return status, log.read_text("utf-8", "replace")
