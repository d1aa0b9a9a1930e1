"""The import table of the packages, and the promise that imports are lazy."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "runs": set(),
    "circuits": {"runs"},
    "tn": {"runs", "circuits"},
    "backends": {"runs", "circuits", "tn"},
    "qml": {"runs", "circuits", "backends", "tn"},
    "mitigation": {"runs", "circuits", "backends"},
    "cli": {"runs", "circuits", "backends", "tn", "qml", "mitigation"},
}
MOST_FILES, MOST_LINES = 15, 420  # in a folder, in a file
HEAVY = {"torch", "qiskit", "pennylane", "lambeq", "quimb", "numba", "transformers", "matplotlib"}


def imported_packages(path):
    """Sub-packages of bondwise that a file imports, and the root of every other absolute import."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module] if node.module != "bondwise" else [f"bondwise.{a.name}" for a in node.names]
        for name in names:
            yield name.split(".")[1] if name.startswith("bondwise.") else name.split(".")[0]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_import_table(package):
    forbidden = MAY_IMPORT.keys() - MAY_IMPORT[package] - {package}
    for path in (ROOT / package).rglob("*.py"):
        wrong = (forbidden | {"bondwise"}) & set(imported_packages(path))
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_only_the_ibm_files_import_the_runtime():
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            allowed = path.parent.name in ("ibm", "loopback") or path.name == "fake.py"
            assert allowed or "qiskit_ibm_runtime" not in imported_packages(path), path


def test_only_one_file_imports_quimb():
    """The file that restores what quimb changes in scipy."""
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            assert path.name == "imported_quimb.py" or "quimb" not in imported_packages(path), path


def modules():
    """Every file of the packages by the name it imports as."""
    paths = [path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")]
    return {
        ".".join(("bondwise", *path.relative_to(ROOT).with_suffix("").parts)): path
        for path in paths
        if path.name != "__init__.py"
    }


def public_homes():
    """Where each public name is made: `bondwise.tn.decompose` in `bondwise.tn.preparation.decomposition`."""
    homes = {}
    for package in MAY_IMPORT:
        for stub in (ROOT / package).rglob("__init__.pyi"):
            room = ".".join(("bondwise", *stub.parent.relative_to(ROOT).parts))
            for module, name in re.findall(r"^from \.(\S+) import (\w+)", stub.read_text(), re.MULTILINE):
                homes[f"{room}.{name}"] = f"{room}.{module}"
    return homes


def test_no_files_import_each_other_in_a_circle():
    """Imports inside functions and for annotations count too."""
    files, homes = modules(), public_homes()
    graph = {}
    for module, path in files.items():
        used, rooms = set(), {}
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bondwise"):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    used.add(node.module if node.module in files else homes.get(full, full))
                    rooms[alias.asname or alias.name] = full
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in rooms
            ):
                used.add(homes.get(f"{rooms[node.value.id]}.{node.attr}", ""))
        graph[module] = used & files.keys() - {module}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_folders_and_files_stay_small():
    tracked = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = [ROOT / name for name in tracked.stdout.split() if (ROOT / name).exists()]
    folders = {}
    for path in paths:
        if path.name != "__init__.py":
            folders.setdefault(path.parent, []).append(path.name)
    assert {folder: len(names) for folder, names in folders.items() if len(names) > MOST_FILES} == {}
    lines = {path: len(path.read_text().splitlines()) for path in paths}
    assert {path: number for path, number in lines.items() if number > MOST_LINES} == {}


@pytest.mark.parametrize("folder", ["examples", "benchmarks"])
def test_scripts_use_the_public_names_only(folder):
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bondwise."):
                assert (ROOT / Path(*node.module.split(".")[1:])).is_dir(), f"{path.name}: {node.module}"


@pytest.mark.parametrize(
    "code",
    [f"import bondwise.{package}" for package in MAY_IMPORT]
    + ["import bondwise as bw; bw.__version__, bw.qml.protein, [getattr(bw, room) for room in bw.__all__]"]
    + ["from bondwise.cli.main import main; main(['--help'])"],
)
def test_import_is_free(code):
    probe = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', sorted({HEAVY!r} & sys.modules.keys()))"
    )
    output = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert output.endswith("loaded: []\n")
