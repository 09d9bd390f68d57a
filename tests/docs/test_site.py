"""The documentation's site has every page, in the order of the index, and no link that ends nowhere."""

import re
import runpy

import pytest
import ruamel.yaml
from pages import DOCS, PAGES

ROOT = DOCS.parent
HOOK = runpy.run_path(str(ROOT / ".ci/site_links.py"))
SOURCE = "https://git.example/x/blob/main"


def test_the_site_has_every_page_in_the_order_of_the_index() -> None:
    nav = ruamel.yaml.YAML(typ="safe").load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    first, *sections = nav
    assert list(first.values()) == ["README.md"]
    shown = [page for section in sections for pages in section.values() for page in pages]
    assert {"README.md", *shown} == {page.name for page in PAGES} | set(HOOK["PAGES"].values())
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[.*?\]\((.*?)\)", index, re.MULTILINE)
    assert [HOOK["PAGES"].get(page.removeprefix("../"), page) for page in listed] == shown


@pytest.mark.parametrize(
    ("folder", "source", "link", "wanted"),
    [
        ("docs", SOURCE, "[x](eos.md#certificates)", "[x](eos.md#certificates)"),
        ("docs", SOURCE, "[x](../CONTRIBUTING.md#two-commands)", "[x](contributing.md#two-commands)"),
        ("docs", SOURCE, "[x](../contrib/config.toml)", f"[x]({SOURCE}/contrib/config.toml)"),
        ("docs", None, "[`x`](../contrib/config.toml)", "`x`"),
        ("docs", None, "[x](https://example.net/y)", "[x](https://example.net/y)"),
        ("docs", None, "[x](#here)", "[x](#here)"),
        (".", None, "[x](docs/architecture.md)", "[x](architecture.md)"),
        (".", None, "[x](CHANGELOG.md)", "x"),
    ],
)
def test_a_link_leads_to_a_page_of_the_site_or_to_the_source(
    folder: str, source: str | None, link: str, wanted: str
) -> None:
    assert HOOK["site_links"](link, ROOT / folder, source) == wanted
