"""The list of packages is the tree, and the wheel holds them all and nothing else."""

import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOP = ("package", "runs", "circuits", "backends", "tn", "qml", "mitigation", "cli")


def installed_name(path):
    """Where a file or folder of the tree is installed: package/ holds the top of bondwise."""
    return "/".join(("bondwise", *Path(path).parts)).replace("bondwise/package", "bondwise")


def folder_of(package):
    return ROOT.joinpath(*package.split(".")[1:]) if package != "bondwise" else ROOT / "package"


def packages_of_the_tree():
    return {
        installed_name(init.parent.relative_to(ROOT)).replace("/", ".")
        for top in TOP
        for init in (ROOT / top).rglob("__init__.py")
    }


def rooms():
    """Packages with public names."""
    return {package for package in packages_of_the_tree() if (folder_of(package) / "__init__.pyi").exists()}


def test_listed_packages_are_the_tree():
    settings = PROJECT["tool"]["setuptools"]
    assert set(settings["packages"]) == packages_of_the_tree()
    folders = {package: str(folder_of(package).relative_to(ROOT)) for package in packages_of_the_tree()}
    assert settings["package-dir"] == folders


def test_no_folder_of_the_tree_shadows_the_package():
    assert not (ROOT / "bondwise").exists()


def test_every_package_is_typed_and_lazy():
    for package in packages_of_the_tree():
        folder = folder_of(package)
        room = (folder / "__init__.pyi").exists()  # otherwise a part of a room, which exports its names
        assert (folder / "py.typed").exists() == room
        assert room == bool((folder / "__init__.py").read_text())
        assert room or (folder.parent / "__init__.pyi").exists()


def test_public_names_can_be_imported():
    for package in rooms():
        module = importlib.import_module(package)
        assert all(getattr(module, name) is not None for name in module.__all__)


def test_constraints_name_what_the_tests_run_with():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    for requirement in PROJECT["project"]["dependencies"]:
        name = re.match(r"[\w-]+", requirement).group()
        assert pins[name].split("+")[0] == version(name).split("+")[0], name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"  # a copy, so that no build/ of the checkout is included
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source],  # from the sdist
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    return path


def test_wheel_holds_the_packages_and_nothing_else(wheel):
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    tracked = subprocess.run(["git", "ls-files", *TOP], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(names) == sorted(map(installed_name, tracked.stdout.split()))


def test_wheel_works_in_a_clean_environment(wheel, tmp_path, monkeypatch):
    """A venv with our wheel and the dependencies of this one, but nothing of the checkout."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    folder = tmp_path / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", folder / "python"]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(here)
    probe = "\n".join(
        f"import {package} as p\nassert p.__file__.startswith({str(site)!r}), p.__file__\n"
        "for name in p.__all__: getattr(p, name)"
        for package in sorted(rooms())
    )
    subprocess.run([folder / "python", "-W", "ignore", "-c", probe], check=True, cwd=tmp_path)
    for command in (
        [folder / "bondwise", "--version"],
        [folder / "python", "-c", "import bondwise\nprint('bondwise', bondwise.__version__)"],
    ):
        shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
        assert shown.stdout == f"bondwise {PROJECT['project']['version']}\n"
