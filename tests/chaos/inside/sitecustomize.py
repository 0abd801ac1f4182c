"""Moves the clock, and plants the bug that the environment names in every process that has the code it spoils."""

import os
import runpy
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import bugs  # type: ignore[import-not-found]
import clock  # type: ignore[import-not-found]
import moneybugs  # type: ignore[import-not-found]


class _Spoiler(MetaPathFinder):
    """Finds one module as always, and spoils it when it has been executed."""

    def __init__(self, name: str, spoil: Any) -> None:
        self._name = name
        self._spoil = spoil

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.loader is not None
        execute, spoil = spec.loader.exec_module, self._spoil

        def execute_and_spoil(module: ModuleType) -> None:
            execute(module)
            spoil(module)

        spec.loader.exec_module = execute_and_spoil  # type: ignore[method-assign]
        return spec


runpy.run_path(str(Path(__file__).parents[2] / "offline" / "sitecustomize.py"))  # ours is found before that one
if file := os.environ.get("CHAOS_CLOCK"):
    clock.move(Path(file))
    sys.meta_path[:0] = [_Spoiler(module, clock.move_moments) for module in clock.MODULES]
if bug := os.environ.get("CHAOS_BUG"):
    sys.meta_path.insert(0, _Spoiler(*{**bugs.PLACES, **moneybugs.PLACES}[bug]))
