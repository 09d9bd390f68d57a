"""JUnit XML, which CI systems show as test results: a suite a subject, a case a thing that was tested."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.etree import ElementTree as ET

from dzbgp.errors import one_line

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


class Result(StrEnum):
    """The result of a case; the value is the name of its element."""

    PASSED = ""
    FAILED = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was tested. `kind`: a word for the kind of failure. `note`: what else there is to say."""

    name: str
    result: Result = Result.PASSED
    message: str = ""
    kind: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """The cases of one subject."""

    name: str
    cases: Sequence[Case]


def junit(command: str, suites: Sequence[Suite], duration_s: float = 0.0) -> str:
    """Return the XML document, without a final newline. Cases of one name in a suite are numbered."""
    root = ET.Element("testsuites", name=f"dzbgp {command}", time=f"{duration_s:.3f}")
    for suite in suites:
        results = Counter(case.result for case in suite.cases)
        counts = {"tests": len(suite.cases), "failures": results[Result.FAILED], "errors": 0}
        counts["skipped"] = results[Result.SKIPPED]
        attributes = {name: str(count) for name, count in counts.items()}
        element = ET.SubElement(root, "testsuite", {"name": f"dzbgp.{command}.{suite.name}"} | attributes)
        seen: Counter[str] = Counter()
        for case in suite.cases:
            name = one_line(case.name)
            seen[name] += 1
            if seen[name] > 1:
                name = f"{name} ({seen[name]})"
            _add(element, f"dzbgp.{command}.{suite.name}", name, case)
    ET.indent(root)
    return _HEAD + ET.tostring(root, encoding="unicode")


def _add(suite: ET.Element, classname: str, name: str, case: Case) -> None:
    element = ET.SubElement(suite, "testcase", classname=classname, name=name)
    if case.result is not Result.PASSED:
        attributes = {"message": one_line(case.message)}
        if case.kind and case.result is Result.FAILED:
            attributes["type"] = case.kind
        told = ET.SubElement(element, case.result.value, attributes)
        told.text = one_line(case.note) or None
    elif case.note:
        ET.SubElement(element, "system-out").text = one_line(case.note)
