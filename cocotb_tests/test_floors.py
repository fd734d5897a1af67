"""Imports go down: from commands to the specification, on which everything stands."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from models.cache import REPOSITORY

TREES = ("hw", "models", "scin", "fpga", "bench", "examples")

FLOORS = (
    {"errors"},
    {"report"},
    {"flow"},
    {"host"},
    {"collectives"},
    {"api", "soak", "validation"},
    {"commands"},
    {"main"},
)
"""Of ``scin``, from the ground up."""

BOARDS_USE = {"scin.errors", "scin.report", "scin.flow", "scin.host"}
"""What ``fpga`` may take of ``scin``."""

WITHOUT_GATES = {"ceil_log2", "data", "IntEnum", "Shape", "Algorithm", "CRC32_MEF"}
"""What ``hw.spec`` may take of Amaranth."""


def module_of(path):
    """Its dotted name; that of the folder for a package."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_of(path): path for tree in TREES for path in sorted((REPOSITORY / tree).rglob("*.py"))
}


def imported(path):
    """(module, name) of every import in a file, wherever it stands; the name is None for a whole
    module."""
    for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(item, ast.Import):
            yield from ((alias.name, None) for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, f"{path}: a relative import"
            yield from ((item.module, alias.name) for alias in item.names)


def ours(path):
    """Modules of the project that a file imports."""
    for module, name in imported(path):
        if module.split(".")[0] in (*TREES, "cocotb_tests"):
            yield f"{module}.{name}" if f"{module}.{name}" in SOURCES else module


IMPORTS = {module: set(ours(path)) for module, path in SOURCES.items()}


def room(module):
    """The folder a module is in: the second of its names, but ``fpga`` is one room."""
    parts = module.split(".")
    return "fpga" if parts[0] == "fpga" else ".".join(parts[:2])


def under(module, *folders):
    return any(module == folder or module.startswith(f"{folder}.") for folder in folders)


def offences(importer, allowed):
    """Imports of the modules in ``importer`` that are in none of the folders ``allowed``."""
    return [
        f"{module} imports {target}"
        for module, targets in IMPORTS.items()
        if under(module, importer)
        for target in sorted(targets)
        if not under(target, importer, *allowed)
    ]


@pytest.mark.parametrize(
    ("importer", "allowed"),
    [
        ("hw.spec", ()),
        ("hw.stream", ("hw.spec",)),
        ("hw.codec", ("hw.spec", "hw.stream")),
        ("hw", ()),
        ("models", ("hw.spec",)),
        ("fpga", ("hw", "models", *BOARDS_USE)),
        ("scin", ("hw", "models", "fpga")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_each_stands_on(importer, allowed):
    assert not offences(importer, allowed)


def test_the_specification_has_no_gates():
    taken = {
        name
        for module, path in SOURCES.items()
        if under(module, "hw.spec")
        for source, name in imported(path)
        if under(source, "amaranth")
    }
    assert taken <= WITHOUT_GATES


def test_floors_of_the_command_line():
    below = set()
    for floor in FLOORS:
        for name in floor:
            allowed = ("hw", "models", "fpga", *(f"scin.{lower}" for lower in below))
            assert not offences(f"scin.{name}", allowed)
        below |= floor
    folders = {module.split(".")[1] for module in SOURCES if module.startswith("scin.")}
    assert folders == below, "a room without a floor"


def test_one_command_knows_of_boards():
    users = {
        module
        for module, targets in IMPORTS.items()
        if not under(module, "fpga") and any(under(target, "fpga") for target in targets)
    }
    assert users == {"scin.commands.fpga"}


def test_no_room_needs_itself():
    rooms = {}
    for module, targets in IMPORTS.items():
        rooms.setdefault(room(module), set()).update(
            room(target) for target in targets if room(target) != room(module)
        )
    try:
        list(TopologicalSorter(rooms).static_order())
    except CycleError as error:
        pytest.fail(f"rooms that import each other: {' <- '.join(error.args[1])}")


def loaded(program):
    """Modules that a program of its own has imported when it ends."""
    program = f"import sys\n{program}\nprint('\\n' + ' '.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return set(result.stdout.splitlines()[-1].split())


def test_the_specification_stands_alone():
    modules = [name for name in SOURCES if under(name, "hw.spec")]
    assert "hw.spec.config" in modules
    found = loaded(f"import {', '.join(modules)}")
    assert {name for name in found if under(name, "hw")} <= {"hw", *modules}
    assert "amaranth" not in loaded("import hw.spec.config")


@pytest.mark.parametrize("word", ["--help", "doctor"])
def test_what_needs_little_imports_little(word):
    found = loaded(
        f"from scin.main import main\ntry:\n    main([{word!r}])\nexcept SystemExit:\n    pass\n"
    )
    assert not found & {"numpy", "amaranth", "numba", "matplotlib"}
    assert {name for name in found if under(name, "models")} <= {"models", "models.cache"}


def test_the_list_of_commands_is_that_of_the_files():
    """It is written without importing them."""
    from scin.main import COMMANDS, help_of, main

    for name in COMMANDS:
        command = main.get_command(None, name)
        assert command.name == name
        expected = type(command)(name, help=help_of(name)).get_short_help_str(70)
        assert command.get_short_help_str(70) == expected
