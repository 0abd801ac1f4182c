"""docs/money.md does its sums right."""

import doctest
import re
from pathlib import Path
from typing import Final

from domain.quote.actions import AnyAction
from domain.quote.rules import AnyRule

PAGE: Final = (Path(__file__).parents[2] / "docs" / "money.md").read_text(encoding="utf-8")


def test_the_worked_example_is_what_the_code_says() -> None:
    lines = "\n".join(re.findall(r"^```pycon\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    example = doctest.DocTestParser().get_doctest(lines, {}, "docs/money.md", None, None)
    assert len(example.examples) > 10
    said: list[str] = []
    assert doctest.DocTestRunner(verbose=False).run(example, out=said.append).failed == 0, "".join(said)


def test_every_kind_of_rule_and_action_is_in_its_table() -> None:
    listed = {
        name for row in re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert listed == {kind.__struct_config__.tag for kind in (*AnyRule.__args__, *AnyAction.__args__)}
