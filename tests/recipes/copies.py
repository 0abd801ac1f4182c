"""A copy of the checkout with its own environment, and what a page of the documentation adds to it.

A page's fenced blocks name their file (`file=domain/orders.py`). The imports of a Python block are put with the file's,
the rest at its end; the new lines of a `diff` are put after the line that it shows.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import site
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

CHECKOUT: Final = Path(__file__).parents[2]

_NOT_COPIED: Final = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "node_modules", "build", "dist")
_RUN_MAX_SECONDS: Final = 500
_BLOCK: Final = re.compile(r"^```(python|diff) file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VERSIONS: Final = Path("runtime/migrations/versions")


class Block(NamedTuple):
    """What belongs in a file: at its end, or after one of its lines."""

    file: str
    after: str | None
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page that name their file, in order."""
    for language, file, text in _BLOCK.findall(page.read_text()):
        if language == "python":
            yield Block(file, None, text)
            continue
        there, *new = text.splitlines(keepends=True)
        assert there.startswith(" "), f"{file}: the first line of a diff must exist"
        assert {line[0] for line in new} == {"+"}, f"{file}: the others must be new"
        yield Block(file, there[1:], "".join(line[1:] for line in new))


class Copy:
    """The checkout, copied to `root`. Programs run there import from there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(CHECKOUT, root, ignore=_NOT_COPIED)
        shutil.copy(CHECKOUT / ".gitignore", root)
        shutil.copytree(CHECKOUT / ".ci", root / ".ci")
        self._bin = root / ".venv" / "bin"
        self._make_environment()

    def _make_environment(self) -> None:
        """Makes an environment that finds the copy first, and then everything installed in the checkout's."""
        venv.create(root := self.root / ".venv", symlinks=True)
        (packages,) = root.glob("lib/python*/site-packages")
        after = [path for path in site.getsitepackages() if Path(path).is_relative_to(sys.prefix)]
        lines = [str(self.root), *(f"import site; site.addsitedir({path!r})" for path in after)]
        (packages / "copy.pth").write_text("\n".join(lines) + "\n")
        for program in Path(sys.prefix, "bin").iterdir():
            if (mine := self._bin / program.name).exists():
                continue
            head, _, rest = program.read_bytes().partition(b"\n")
            if head.startswith(b"#!") and sys.prefix.encode() in head:
                mine.write_bytes(head.replace(sys.prefix.encode(), str(root).encode()) + b"\n" + rest)
                mine.chmod(0o755)
            else:
                mine.symlink_to(program)

    def follow(self, page: Path) -> list[str]:
        """Applies the page's blocks; returns the files that they change."""
        files = []
        for block in blocks(page):
            last = max(path.name[:4] for path in (self.root / _VERSIONS).glob("[0-9]*_*.py"))
            following = f"{int(last) + 1:04}"
            file = block.file.replace("NEXT", following)
            text = block.text.replace('"NEXT"', f'"{following}"').replace('"LAST"', f'"{last}"')
            _put(self.root / file, block.after, text)
            files.append(file)
        return files

    def regenerate_settings(self) -> None:
        """Does what `make settings` does."""
        page = self.root / "docs" / "settings.md"
        head = re.split(r"^## ", page.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
        page.write_text(head + self.run("python", "-m", "runtime.settings").stdout)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs one of the environment's programs in the copy."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
        return subprocess.run(
            [self._bin / command[0], *command[1:]],
            cwd=self.root,
            env={**kept, "PATH": f"{self._bin}:{os.environ['PATH']}", "VIRTUAL_ENV": str(self._bin.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_RUN_MAX_SECONDS,
        )


def _put(file: Path, after: str | None, text: str) -> None:
    if not file.exists():
        file.write_text(text)
        return
    lines = file.read_text().splitlines(keepends=True)
    if after is not None:
        at = lines.index(after) + 1
        lines[at:at] = [text]
        file.write_text("".join(lines))
        return
    imports, rest = _parted(text)
    at = max((node.end_lineno or 0 for node in ast.parse("".join(lines)).body if _is_import(node)), default=0)
    lines[at:at] = [imports]
    file.write_text("".join(lines) + (f"\n\n{rest}" if rest else ""))


def _parted(text: str) -> tuple[str, str]:
    """The imports of a block, and what follows them."""
    lines = text.splitlines(keepends=True)
    end = max((node.end_lineno or 0 for node in ast.parse(text).body if _is_import(node)), default=0)
    return "".join(lines[:end]), "".join(lines[end:]).strip("\n") + "\n" if lines[end:] else ""


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)
