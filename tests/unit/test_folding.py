"""Text folded for comparison: split into words, sorted, and made into search queries."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.folding import ORDER_KEY_MAX_BYTES, alike, fold, order_key, words
from gateway.catalogue.terms import tsquery
from runtime.searched import searched_by
from tests.cases import case

texts = st.text(st.characters(codec="utf-8"), max_size=300)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Crème BRÛLÉE", "creme brulee"),
        ("Cre\u0300me", "creme"),
        ("Smørrebrød", "smorrebrod"),
        ("ŁÓDŹ", "lodz"),
        ("Straße", "strasse"),
        ("\u0130STANBUL \u0131s\u0131", "istanbul isi"),
        ("Œuvre, Æon, Þing", "oeuvre, aeon, thing"),
        ("o\ufb03ce \u2167", "office viii"),
        ("\uff2c\uff41\uff4d\uff50", "lamp"),
        ("Ёлка Йод", "елка иод"),
        ("Λάμπας ΛΑΜΠΑΣ", "λαμπασ λαμπασ"),
        (
            "\u0645\u0650\u0635\u0652\u0628\u0627\u062d \u0623\u062d\u0645\u0631",
            "\u0645\u0635\u0628\u0627\u062d \u0627\u062d\u0645\u0631",
        ),
        ("\u0663\u0664", "34"),
        ("\uff76\uff9e\uff97\uff7d", "ガラス"),
        ("co\u00adop\u200b\u200d", "coop "),
    ],
)
def test_case_accents_and_forms_do_not_matter(text: str, folded: str) -> None:
    assert fold(text) == unicodedata.normalize("NFC", folded)


@given(texts)
def test_every_form_of_a_text_is_folded_alike(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert words(unicodedata.normalize(form, text)) == words(text)
    assert fold(fold(text)) == fold(text)
    assert words(" ".join(word for word in words(text) if word.isascii())) == [w for w in words(text) if w.isascii()]


@pytest.mark.parametrize(
    ("text", "found_by"),
    [
        ("Sugar's T-shirt, 2.5 l", ["sugars", "t", "shirt", "2", "5", "l"]),
        ("灯笼架", ["灯笼", "笼架", "架"]),
        ("灯", ["灯"]),
        ("iPhone手机 2号", ["iphone", "手机", "机", "2", "号"]),
        ("โคมไฟ", ["โค", "คม", "มไ", "ไฟ", "ฟ"]),
        ("ที่", ["ที่"]),
        ("한국어", ["한국", "국어", "어"]),
        ("दीपक", ["दीपक"]),
        ("\u0301", []),
        ("", []),
    ],
)
def test_words_and_pairs(text: str, found_by: list[str]) -> None:
    assert words(text) == found_by


@pytest.mark.parametrize(
    ("searched", "query"),
    [
        ("Crème brûlée", "('creme') & ('brulee')"),
        ('red or "blue mug" -green', "('red') | ('blue' <-> 'mug') & !('green')"),
        ("t-shirt", "('t' <-> 'shirt')"),
        ("灯笼架 灯", "('灯笼' <-> '笼架') & ('灯':*)"),
        ("or", ""),
        ("or red or", "('red')"),
        ('"', ""),
        ("--red", "!('red')"),
        ("'; DROP TABLE products; --", "('drop') & ('table') & ('products')"),
        ("\u0301 & | ! ( ) :* <->", ""),
    ],
)
def test_a_search_as_a_query(searched: str, query: str) -> None:
    assert tsquery(searched) == query


@given(texts)
def test_a_query_contains_nothing_but_words(searched: str) -> None:
    """Whatever is searched for, none of its quotes and backslashes get into the query."""
    query = tsquery(searched)
    assert "\\" not in query
    quoted = query.split("'")[1::2]
    assert all(unicodedata.category(char)[0] in "LNM" for word in quoted for char in word)
    assert query.count("'") == 2 * len(quoted)


def test_names_are_in_the_order_that_people_expect() -> None:
    rows = csv.DictReader(io.StringIO(case("04-names-to-sort.csv").decode()))
    names = [row["name"] for row in rows]
    assert sorted(names, key=order_key) == case("04-sorted.txt").decode().splitlines()
    assert sorted(["Zebra", "apple", "éclair"], key=order_key) == ["apple", "éclair", "Zebra"]
    assert sorted(["яблоко", "Ёлка", "Ель", "Арбуз"], key=order_key) == ["Арбуз", "Ёлка", "Ель", "яблоко"]


@given(texts)
def test_a_key_fits_into_an_index(text: str) -> None:
    assert len(order_key(text).encode()) <= 2 * ORDER_KEY_MAX_BYTES + 1
    assert order_key("\ufdfa" * 255).startswith(fold("\ufdfa")[:10])
    assert alike(text).isascii()
    assert all("\0" not in column for column in searched_by(text.replace("\0", ""), "").values())
