from xml.etree import ElementTree as ET

from report_builders import DOWN, NYC, UP, decision, key, mixed, report, signature

from dzbgp.models.submission import Outcome, Submission
from dzbgp.report.junit import render


def suites(text: str) -> dict[str, ET.Element]:
    return {suite.attrib["name"]: suite for suite in ET.fromstring(text)}


def test_every_device_is_a_case_and_one_without_a_credible_answer_fails() -> None:
    devices = suites(render(mixed(dry_run=True)))["dzbgp.run.devices"]
    assert (devices.attrib["tests"], devices.attrib["failures"]) == ("5", "3")
    failed = {case.attrib["name"]: found for case in devices if (found := case.find("failure")) is not None}
    assert failed["fra-dz01"].attrib == {"message": "no answer within 30 s", "type": "failed"}
    assert set(failed) == {"fra-dz01", "tokyo-1", "spare-1"}


def test_what_is_held_failed_or_pending_fails_and_what_is_unknown_is_skipped() -> None:
    users = suites(render(mixed(dry_run=False)))["dzbgp.run.users"]
    kinds = {case.attrib["name"]: [(child.tag, child.attrib.get("type")) for child in case] for case in users}
    assert len(kinds) == len(users)
    assert kinds[str(key("user 1"))] == [("system-out", None)]
    assert kinds[str(key("user 4"))] == [("failure", "pending")]
    assert kinds[str(key("user 5"))] == [("failure", "failed")]
    assert kinds[str(key("user 20"))] == [("failure", "held")]
    assert kinds[str(key("user 40"))] == [("skipped", None)]


def test_text_from_outside_leaves_the_document_well_formed() -> None:
    due = decision(1, NYC, DOWN, UP, detail="\x1b[2J]]> <x> & \udc80 \ufffe")
    sent = Submission(due.observation.user.pubkey, Outcome.FAILED, signature(1), error='"<&>\x00')
    text = render(report(due, submissions=(sent,), dry_run=False))
    (case,) = suites(text)["dzbgp.run.users"]
    assert case[0].attrib["message"] == '"<&>'
