"""What is wrong with the files of an inventory is told by file and key, and never by value."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dzbgp.errors import ExitCode, InventoryError
from dzbgp.fleet.inventory.schema import check_simple_inventory

HOSTS, GROUPS, DEFAULTS = "r1: {groups: [a]}", "a: {}", "platform: eos"


def check(directory: Path, hosts: str = HOSTS, groups: str = GROUPS, defaults: str = DEFAULTS) -> None:
    files = [directory / f"{name}.yaml" for name in ("hosts", "groups", "defaults")]
    for file, text in zip(files, (hosts, groups, defaults), strict=True):
        file.write_text(text)
    check_simple_inventory(*files)


@pytest.mark.parametrize(
    ("hosts", "groups", "defaults"),
    [
        (HOSTS, GROUPS, DEFAULTS),
        ("r1: {}", "", ""),
        ("r1: {groups: , data: , connection_options: }", "", "# nothing"),
        ("r1: {unknown: 1, data: {any: [1, {b: c}]}}", "", ""),
        ("r1: {groups: [a]}", "a: {groups: [b, c]}\nb: {groups: [c]}\nc: {}", ""),
        (
            "r1: {connection_options: {napalm: {extras: {timeout: 1.5, optional_args: {transport: ssh}}}}}",
            "",
            "",
        ),
        ("r1: {connection_options: {napalm: {extras: {timeout: , optional_args: }}}}", "", ""),
        ("r1: {connection_options: {netmiko: {port: 22}}}", "", ""),
    ],
)
def test_what_nornir_can_read_passes(tmp_path: Path, hosts: str, groups: str, defaults: str) -> None:
    check(tmp_path, hosts, groups, defaults)


def test_groups_and_defaults_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text("r1: {}")
    check_simple_inventory(tmp_path / "hosts.yaml", tmp_path / "groups.yaml", tmp_path / "defaults.yaml")


# A secret stands wherever a value stands; the message is what comes after the file's directory.
SECRET = "hunter2"
FAULTY_HOSTS = {
    "empty": ("", "hosts.yaml: it holds no hosts; expected a mapping of host names to their settings"),
    "a comment": ("# none yet", "hosts.yaml: it holds no hosts"),
    "a list": ("- r1", "hosts.yaml: it holds a list; expected a mapping"),
    "a text": (SECRET, "hosts.yaml: it holds a text; expected a mapping"),
    "a host of nothing": ("r1:", "hosts.yaml: r1: it holds nothing; expected a mapping"),
    "a host of a text": (f"r1: {SECRET}", "hosts.yaml: r1: it holds a text; expected a mapping"),
    "a host of a list": ("r1: [a]", "hosts.yaml: r1: it holds a list; expected a mapping"),
    "a name that is a number": (
        "123: {}",
        "hosts.yaml: 123: the name is a number; expected a text (quote it)",
    ),
    "a name that is nothing": ("~: {}", "hosts.yaml: None: the name is nothing; expected a text"),
    "a name that is a truth": ("true: {}", "hosts.yaml: True: the name is true or false; expected a text"),
    "a port in text": ("r1: {port: '22'}", "hosts.yaml: r1: port: it holds a text; expected a number"),
    "a port that is a truth": (
        "r1: {port: true}",
        "hosts.yaml: r1: port: it holds true or false; expected a number",
    ),
    "a password of digits": (
        "r1: {password: 98765}",
        "hosts.yaml: r1: password: it holds a number; expected a text",
    ),
    "a password of a fraction": (
        "r1: {password: 9876.5}",
        "hosts.yaml: r1: password: it holds a fraction; expected a text",
    ),
    "a password like a date": (
        "r1: {password: 2024-01-02}",
        "hosts.yaml: r1: password: it holds a date; expected a text",
    ),
    "a username of a list": (
        "r1: {username: [a]}",
        "hosts.yaml: r1: username: it holds a list; expected a text",
    ),
    "a platform of a list": (
        "r1: {platform: [eos]}",
        "hosts.yaml: r1: platform: it holds a list; expected a text",
    ),
    "groups in text": ("r1: {groups: a}", "hosts.yaml: r1: groups: it holds a text; expected a list"),
    "an unknown group": (
        "r1: {groups: [a, b]}",
        "hosts.yaml: r1: groups: unknown group 'b'; expected one of ",
    ),
    "a group that is a number": (
        "r1: {groups: [5]}",
        "hosts.yaml: r1: groups: it holds a number; expected names of groups",
    ),
    "a group that is a list": (
        "r1: {groups: [[a]]}",
        "hosts.yaml: r1: groups: it holds a list; expected names of groups",
    ),
    "data in text": (f"r1: {{data: {SECRET}}}", "hosts.yaml: r1: data: it holds a text; expected a mapping"),
    "options in a list": (
        "r1: {connection_options: [napalm]}",
        "hosts.yaml: r1: connection_options: it holds a list; expected a mapping",
    ),
    "a connection of nothing": (
        "r1: {connection_options: {napalm: }}",
        "hosts.yaml: r1: connection_options: napalm: it holds nothing; expected a mapping",
    ),
    "a connections port in text": (
        "r1: {connection_options: {napalm: {port: '22'}}}",
        "hosts.yaml: r1: connection_options: napalm: port: it holds a text; expected a number",
    ),
    "extras in text": (
        f"r1: {{connection_options: {{napalm: {{extras: {SECRET}}}}}}}",
        "hosts.yaml: r1: connection_options: napalm: extras: it holds a text; expected a mapping",
    ),
    "a timeout in text": (
        "r1: {connection_options: {napalm: {extras: {timeout: 30s}}}}",
        "napalm: extras: timeout: it holds a text; expected a number or a fraction",
    ),
    "optional_args in a list": (
        "r1: {connection_options: {napalm: {extras: {optional_args: [a]}}}}",
        "napalm: extras: optional_args: it holds a list; expected a mapping",
    ),
    "a value with a colon": (
        f"r1:\n  password: {SECRET}: x",
        "hosts.yaml, line 2, column 20: malformed YAML: mapping values are not allowed in this context",
    ),
    "a quote not closed": (
        f'r1: {{password: "{SECRET}',
        "malformed YAML: found unexpected end of stream",
    ),
    "a key given twice": (
        f"r1:\n  password: {SECRET}\n  password: {SECRET}2\n",
        'hosts.yaml, line 3, column 3: malformed YAML: found duplicate key "password"',
    ),
    "a password that begins with a star": (
        f"r1:\n  password: *{SECRET}\n",
        "hosts.yaml, line 2, column 13: malformed YAML: found undefined alias",
    ),
    "a password that begins with an exclamation mark": (
        f"r1:\n  password: !{SECRET}\n",
        "malformed YAML: could not determine a constructor for the tag (not shown)",
    ),
    "a password that begins with a percent sign": (
        f"r1:\n  password: %{SECRET}\n",
        "malformed YAML: found character that cannot start any token",
    ),
    "a password like a date that is none": (
        "r1: {password: 2024-13-45}",
        "hosts.yaml: malformed YAML: ValueError",
    ),
    "a number that is none": (f"r1: {{port: !!int {SECRET}}}", "hosts.yaml: malformed YAML: ValueError"),
    "a list as a key": ("? - - r1", "hosts.yaml: malformed YAML: a list or a mapping as a key"),
    "a control character": (f"r1: {SECRET}\0", "hosts.yaml: malformed YAML: ReaderError"),
    "tabs": ("r1:\n\tport: 1", "malformed YAML: found character that cannot start any token"),
    "two documents": ("r1: {}\n---\nr2: {}", "malformed YAML: but found another document"),
    "deep": (
        "r1: " + "[" * 500,
        "hosts.yaml, line 2, column 1: malformed YAML: did not find expected node content",
    ),
    "deep in brackets": (
        "r1: " + "[{a: " * 100_000,
        "hosts.yaml: malformed YAML: nested more than 1,000 levels deep",
    ),
    "deep in dashes": (
        "r1:\n" + "- " * 100_000,
        "hosts.yaml: malformed YAML: nested more than 1,000 levels deep",
    ),
}


@pytest.mark.parametrize("case", FAULTY_HOSTS)
def test_a_fault_of_the_hosts_is_told_by_file_and_key_and_not_by_value(tmp_path: Path, case: str) -> None:
    hosts, message = FAULTY_HOSTS[case]
    with pytest.raises(InventoryError) as caught:
        check(tmp_path, hosts)
    told = str(caught.value)
    assert told.startswith(str(tmp_path / "hosts.yaml"))
    assert message in told
    assert "\n" not in told
    for value in (SECRET, "98765", "9876.5", "2024"):
        assert value not in told.replace(str(tmp_path), "")
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("- a", "groups.yaml: it holds a list; expected a mapping"),
        ("a:", "groups.yaml: a: it holds nothing; expected a mapping"),
        ("a: {port: x}", "groups.yaml: a: port: it holds a text; expected a number"),
        ("a: {groups: [b]}", "groups.yaml: a: groups: unknown group 'b'"),
        ("a: {}\n5: {}", "groups.yaml: 5: the name is a number"),
        ("a: {groups: [a]}", "groups.yaml: a: groups: the group is, through its groups, its own parent"),
        ("a: {groups: [b]}\nb: {groups: [c]}\nc: {groups: [a]}", "its own parent"),
        ("a: {}\nb: {groups: [b]}", "groups.yaml: b: groups: the group is"),
        ("a: [", "malformed YAML"),
    ],
)
def test_a_fault_of_the_groups_is_told_by_file_and_key(tmp_path: Path, groups: str, message: str) -> None:
    with pytest.raises(InventoryError) as caught:
        check(tmp_path, groups=groups)
    assert str(caught.value).startswith(str(tmp_path / "groups.yaml"))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        ("- a", "defaults.yaml: it holds a list; expected a mapping"),
        ("eos", "defaults.yaml: it holds a text; expected a mapping"),
        ("platform: 5", "defaults.yaml: platform: it holds a number; expected a text"),
        (
            "connection_options: {napalm: 5}",
            "defaults.yaml: connection_options: napalm: it holds a number; expected a mapping",
        ),
    ],
)
def test_a_fault_of_the_defaults_is_told_by_file_and_key(tmp_path: Path, defaults: str, message: str) -> None:
    with pytest.raises(InventoryError) as caught:
        check(tmp_path, defaults=defaults)
    assert str(caught.value).startswith(str(tmp_path / "defaults.yaml"))
    assert message in str(caught.value)


def test_a_file_of_hosts_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"hosts\.yaml: No such file or directory; expected a YAML file"):
        check_simple_inventory(tmp_path / "hosts.yaml", tmp_path / "g.yaml", tmp_path / "d.yaml")


def test_a_directory_in_the_place_of_a_file_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").mkdir()
    with pytest.raises(InventoryError, match=r"hosts\.yaml: Is a directory"):
        check_simple_inventory(tmp_path / "hosts.yaml", tmp_path / "g.yaml", tmp_path / "d.yaml")


def test_a_file_that_is_no_utf8_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_bytes(b"r1: \xff")
    with pytest.raises(InventoryError, match=r"hosts\.yaml: it is not UTF-8"):
        check_simple_inventory(tmp_path / "hosts.yaml", tmp_path / "g.yaml", tmp_path / "d.yaml")


WORDS = [
    "r1",
    "a",
    "groups",
    "port",
    "data",
    "extras",
    "napalm",
    "connection_options",
    "5",
    "!",
    "&x",
    "*x",
    "'",
    '"',
    "~",
    "|",
    ">",
    "%",
    "---",
    "<<",
]
yaml_texts = st.lists(
    st.sampled_from([*WORDS, ": ", "\n", "  ", "{", "}", "[", "]", ", ", "- ", "? "]),
    max_size=25,
).map("".join)


@settings(max_examples=150)
@given(yaml_texts, yaml_texts)
def test_no_text_at_all_raises_anything_but_inventory_error(
    tmp_path_factory: pytest.TempPathFactory, hosts: str, groups: str
) -> None:
    try:
        check(tmp_path_factory.getbasetemp(), hosts, groups)
    except InventoryError as error:
        told = str(error)
    else:
        return
    assert "\n" not in told
