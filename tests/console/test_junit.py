from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from dzbgp.console.junit import Case, Result, Suite, junit


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)


def test_a_document_has_its_suites_with_counts_and_unique_names() -> None:
    cases = [Case("a"), Case("a", Result.FAILED, "broken", "kind", "more"), Case("b", Result.SKIPPED, "why")]
    root = parsed(junit("check", [Suite("keys", cases)], 1.5))
    assert root.attrib == {"name": "dzbgp check", "time": "1.500"}
    (suite,) = root
    assert suite.attrib == {
        "name": "dzbgp.check.keys", "tests": "3", "failures": "1", "errors": "0", "skipped": "1",
    }  # fmt: skip
    assert [case.attrib["name"] for case in suite] == ["a", "a (2)", "b"]
    assert suite[1][0].attrib == {"message": "broken", "type": "kind"}
    assert suite[1][0].text == "more"


@given(st.text(), st.text(), st.text())
def test_any_text_makes_a_well_formed_document(name: str, message: str, note: str) -> None:
    root = parsed(junit("run", [Suite("s", [Case(name, Result.FAILED, message, "k", note), Case(name)])]))
    assert len(root[0]) == 2
