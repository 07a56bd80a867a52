"""The structure of gan_zoo: modules import only earlier ones of `ORDER`, and aliases give their modules."""

import ast
import importlib
import pickle
from collections.abc import Iterator
from pathlib import Path

import gan_zoo
from gan_zoo import aliases
from gan_zoo.nn.optimizers import Adam

ROOT = Path(__file__).parent.parent
FOLDERS = {"gan_zoo": "gan_zoo", "models": "gan_zoo.models", "export": "gan_zoo.export"}
ORDER = (
    *("util", "recipes", "data", "replicas", "nn", "networks", "losses", "penalties", "penalty_terms", "zero_centered"),
    *("schedules", "players", "keras_model", "model", "gan", "cross_entropy", "models", "registry", "releases"),
    *("metrics", "run_folder", "callbacks", "sampling", "export", "testing", "evaluate", "training", "compare"),
    *("dynamics", "__main__"),
)
"""Packages and modules of gan_zoo. Each may import those before it."""


def modules() -> dict[str, Path]:
    """Returns {dotted name: file} of the library."""
    found = {}
    for folder, package in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = file
    return found


def nodes(file: Path) -> Iterator[ast.AST]:
    """Yields the nodes of a file, without imports that only annotations use."""
    left = [ast.parse(file.read_text())]
    while left:
        node = left.pop()
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            left += ast.iter_child_nodes(node)


def imports(known: dict[str, Path]) -> dict[str, set[str]]:
    """Returns the modules that each module imports, at its top or in a function, by their real names."""
    found = {}
    for name, file in known.items():
        wanted = set()
        for node in nodes(file):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= (inner & known.keys()) | ({node.module} if inner - known.keys() else set())
        wanted = {name for name in wanted if name.partition(".")[0] == "gan_zoo"} - {"gan_zoo", name}
        assert wanted <= known.keys(), f"{name} imports {wanted - known.keys()}: name the real module"
        found[name] = wanted
    return found


def test_imports_run_one_way():
    graph = imports(modules())
    del graph["gan_zoo"], graph["gan_zoo.aliases"]
    for name, wanted in graph.items():
        own = name.split(".")[1]
        assert own in ORDER, f"add gan_zoo.{own} to ORDER, after all that it imports"
        for other in {module.split(".")[1] for module in wanted} - {own}:
            assert ORDER.index(other) < ORDER.index(own), f"{name} imports gan_zoo.{other}, which comes later in ORDER"


def test_no_modules_import_each_other():
    graph = imports(modules())
    left = dict(graph)
    while free := [name for name, wanted in left.items() if not wanted & left.keys()]:
        for name in free:
            del left[name]
    # A module that only imports a cycle is not part of it.
    while outer := [name for name in left if not any(name in wanted for wanted in left.values())]:
        for name in outer:
            del left[name]
    assert not left, f"in circles: {sorted(left)}"


def test_packages_say_what_they_hold():
    for name, file in modules().items():
        if file.name == "__init__.py":
            assert ast.get_docstring(ast.parse(file.read_text())), name


def test_aliases_are_the_modules_themselves():
    for alias, place in aliases.MODULES.items():
        assert importlib.import_module(f"gan_zoo.{alias}") is importlib.import_module(f"gan_zoo.{place}")
    assert all(importlib.import_module(f"gan_zoo.{place}").main for place in aliases.COMMANDS.values())
    assert gan_zoo.layers.Conv2D.__module__ == "gan_zoo.nn.layers"
    assert pickle.loads(b"cgan_zoo.optimizers\nAdam\n.") is Adam
