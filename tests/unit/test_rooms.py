"""The layout of the code: no circular imports, and folders that say what is in them."""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import grimp
import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("domain", "runtime", "gateway", "workers", "ops", "loadtests", "tidegate")


def circle_in(*packages: str) -> list[str]:
    """The modules of a circular import, including those only for the type checker; empty if there is none."""
    graph = grimp.build_graph(*packages, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def folders() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (folder.parent for folder in sorted((ROOT / package).rglob("*.py")) if folder.name == "__init__.py")


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle_in(*PACKAGES) == []


def test_a_circle_only_for_the_type_checker_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "circular"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "first.py").write_text("from circular.second import B\n")
    (package / "second.py").write_text(
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from circular.first import A\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert set(circle_in("circular")) == {"circular.first", "circular.second"}
    finally:
        sys.modules.pop("circular", None)


@pytest.mark.parametrize("folder", [str(folder.relative_to(ROOT)) for folder in folders()])
def test_every_folder_says_in_two_sentences_who_lives_there(folder: str) -> None:
    said = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text())) or ""
    assert len(re.findall(r"\.(?:\s|$)", said)) >= 2, said
