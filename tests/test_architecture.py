"""The house: which part may know which, no circles, no heavy import before it is needed."""

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).parents[1]
GROUND = {"base"}
FLOOR_0 = GROUND | {"hardware", "workload"}
MAY_IMPORT = {
    "base": set(),
    "hardware": GROUND,
    "workload": GROUND,
    "roofline": FLOOR_0,
    "measured": FLOOR_0,
    "simulator": FLOOR_0 | {"roofline", "_core"},
    "placement": FLOOR_0 | {"roofline", "simulator", "_core"},
    "kernels": FLOOR_0 | {"roofline", "measured", "simulator", "_core"},
    "sweeps": FLOOR_0 | {"roofline", "measured", "simulator", "placement", "kernels"},
    "cli": FLOOR_0 | {"roofline", "measured", "simulator", "placement", "kernels", "sweeps"},
}
HEAVY = {"matplotlib", "ortools", "numba", "cupy", "duckdb", "pandas", "scipy", "optuna", "joblib"}
OPENED_ON_DEMAND = {
    "roofline/walk.py",
    "roofline/walk_resources.py",
    "simulator/memory/check_walk.py",
    "sweeps/design/dominance.py",
}
"""Files that stand on a heavy library and are themselves imported inside functions."""

FILES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
    for part in MAY_IMPORT
    for path in sorted((ROOT / part).rglob("*.py"))
}


def targets(name: str, tree: ast.Module, *, everywhere: bool = True) -> set[str]:
    """The files of the package that a file imports (at its top only, unless `everywhere`)."""
    package = ("moesaic", *Path(name).parts[:-1])
    found = set()
    for node in ast.walk(tree) if everywhere else top_level(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + tuple(
                (node.module or "").split(".") if node.module else ()
            )
            found |= {resolved(base, alias.name) for alias in node.names}
    return found


def top_level(tree: ast.Module) -> list[ast.stmt]:
    """Statements that run at import; those for type checkers only do not."""
    return [node for node in tree.body if not isinstance(node, ast.If)]


def resolved(base: tuple[str, ...], name: str) -> str:
    """The file that `from base import name` reads, relative to the root; the part for `_core`."""
    for parts in ((*base[1:], name), base[1:]):
        path = "/".join(parts)
        for file in (f"{path}.py", f"{path}/__init__.py"):
            if file in FILES:
                return file
    return "/".join((*base[1:], name))


def test_every_part_has_a_floor():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(MAY_IMPORT)


def found(ask):
    """What `ask` finds wrong in each file, without the files where that is nothing."""
    wrong = {name: ask(name, tree) for name, tree in FILES.items()}
    return {name: faults for name, faults in wrong.items() if faults}


def test_imports_go_down():
    def too_high(name, tree):
        part = name.split("/")[0]
        reached = {target.split("/")[0] for target in targets(name, tree)}
        return reached - MAY_IMPORT[part] - {part, "__init__.py", "__version__"}

    assert found(too_high) == {}


def test_the_package_does_not_import_itself_by_its_installed_name():
    def own(name, tree):
        names = {
            alias.name if isinstance(node, ast.Import) else node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)
            for alias in node.names
        }
        return {n for n in names if n and n.split(".")[0] == "moesaic"}

    assert found(own) == {}


def test_no_file_imports_itself_through_others():
    graph = {
        name: {
            target
            for target in targets(name, tree, everywhere=False)
            # A package's face hands on the names of its files and knows them all.
            if target in FILES
            and not name.endswith("__init__.py")
            and not (target.endswith("__init__.py") and name.startswith(target[:-11]))
        }
        for name, tree in FILES.items()
    }
    in_order = list(graphlib.TopologicalSorter(graph).static_order())  # refuses a circle
    assert set(in_order) >= set(FILES)


def test_heavy_libraries_are_imported_where_they_are_needed():
    def heavy(name, tree):
        names = set()
        for node in top_level(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.split(".")[0])
        return set() if name in OPENED_ON_DEMAND else names & HEAVY

    assert found(heavy) == {}


def test_files_and_functions_stay_short():
    def long(name, tree):
        lines = (ROOT / name).read_text().count("\n")
        sizes = {
            node.name: (node.end_lineno or 0) - node.lineno + 1
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
        }
        long_functions = {n: size for n, size in sizes.items() if size > 60}
        return long_functions | ({"the file": lines} if lines > 400 else {})

    assert found(long) == {}
