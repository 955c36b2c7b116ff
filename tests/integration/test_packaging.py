"""What users install is what is in the repository, under one name, with what it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.test_layout import LAYERS, PYPROJECT, ROOT

pytestmark = [pytest.mark.packaging, pytest.mark.slow]


def run(command: Sequence[str | Path], cwd: Path, *, status: int = 0) -> str:
    """The output of a command that has to end with this status."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == status, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def repository_files() -> list[Path]:
    """All files of the working tree that are not ignored, links as links."""
    listed = run(["git", "ls-files", "-z", "-co", "--exclude-standard"], ROOT)
    names = sorted({Path(name) for name in listed.split("\0") if name})
    return [name for name in names if (ROOT / name).is_symlink() or (ROOT / name).is_file()]


def copy_repository(target: Path) -> Path:
    """A copy to build in, so that nothing is left in the working tree."""
    for name in repository_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, and the wheel that was built from it."""
    source = copy_repository(tmp_path_factory.mktemp("source"))
    out = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--outdir", out, source], ROOT)
    return out


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel and its dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    (wheel,) = dist.glob("*.whl")
    run([python, "-m", "pip", "install", "--quiet", wheel], folder)
    return python


def test_the_wheel_holds_every_file_of_the_packages(dist: Path) -> None:
    """Code and data, each once, under `streamwarden/` and nowhere else."""
    (wheel,) = dist.glob("*.whl")
    expected = {
        str(name if name.parts[0] == "streamwarden" else Path("streamwarden") / name)
        for name in repository_files()
        if name.parts[0] in {"streamwarden", *LAYERS} and not (ROOT / name).is_symlink()
    }

    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]

    assert sorted(names) == sorted(expected)


def test_the_sdist_is_complete(dist: Path) -> None:
    """It builds the wheel, and carries the licence."""
    (sdist,) = dist.glob("*.tar.gz")

    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}

    assert {"LICENSE", "README.md", "pyproject.toml"} <= names


def test_every_module_can_be_imported(installed: Path) -> None:
    """The declared dependencies are all that the modules need."""
    script = """
import importlib, pkgutil, streamwarden
for module in pkgutil.walk_packages(streamwarden.__path__, "streamwarden."):
    # The plugin is for those who have pytest.
    if not module.name.endswith(("__main__", "pytest_plugin")):
        importlib.import_module(module.name)
        print(module.name)
"""

    found = run([installed, "-I", "-c", script], Path("/"))

    packages = set(PYPROJECT["tool"]["setuptools"]["packages"]) - {"streamwarden"}
    assert packages <= set(found.split())


@pytest.mark.parametrize("folder", LAYERS)
def test_the_folders_take_no_names_at_the_top(folder: str, installed: Path) -> None:
    """`import policy` in a service finds the service's own, or nothing."""
    script = f"import importlib.util; print(importlib.util.find_spec({folder!r}))"

    assert run([installed, "-I", "-c", script], Path("/")) == "None\n"


def test_the_command_is_installed(installed: Path) -> None:
    """`streamwarden --help` works outside the repository."""
    assert "Usage" in run([installed.with_name("streamwarden"), "--help"], Path("/"))


def test_pytest_finds_the_plugin(installed: Path) -> None:
    """By its entry point, which names a module that is there."""
    script = """
from importlib.metadata import entry_points
from importlib.util import find_spec
(plugin,) = [each for each in entry_points(group="pytest11") if each.name == "streamwarden"]
print(plugin.value, find_spec(plugin.value) is not None)
"""

    assert run([installed, "-I", "-c", script], Path("/")) == "streamwarden.pytest_plugin True\n"


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_look_into_every_folder(checker: str, tmp_path: Path) -> None:
    """With this configuration, a mistake in a linked folder is found."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "typings").mkdir()
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for folder in ["streamwarden", "tests", *LAYERS]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    for folder in LAYERS:
        (tmp_path / folder / "planted.py").write_text('count: int = "many"\n')
        (tmp_path / "streamwarden" / folder).symlink_to(Path("..") / folder)

    said = run([sys.executable, "-m", checker], tmp_path, status=1)

    found = set(re.findall(r"(\w+)/planted\.py:1", said))
    assert found == set(LAYERS)
