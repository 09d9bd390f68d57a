# noqa: INP001 - a script
"""Prepare a checkout for publication: `prepare_release.py ADDRESS TAG`.

Point the README's links at the published repository, name it in pyproject.toml, and print the changelog's section.
The release workflow calls this with the address under which it runs; nothing in the repository names it.
"""

import re
import sys
from pathlib import Path

PICTURES = (".png", ".svg")


def public(text: str, address: str, tag: str) -> str:
    """Return Markdown in which every relative link leads to the tag's files at the address."""

    def absolute(match: re.Match[str]) -> str:
        target = match[1]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        kind = "raw" if target.endswith(PICTURES) else "blob"
        return f"]({address}/{kind}/{tag}/{target})"

    return re.sub(r"\]\(([^)\s]+)\)", absolute, text)


def with_urls(project: str, address: str) -> str:
    """Return pyproject.toml with the project's addresses."""
    urls = (
        f'[project.urls]\nSource = "{address}"\nIssues = "{address}/issues"\n'
        f'Changelog = "{address}/blob/main/CHANGELOG.md"\n\n'
    )
    return project.replace("[project.scripts]\n", f"{urls}[project.scripts]\n", 1)


def section(changelog: str, version: str) -> str:
    """Return what the changelog says of a version; raise LookupError if it says nothing."""
    found = re.search(
        rf"^## {re.escape(version)}\b.*?\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    if not found or not found[1].strip():
        raise LookupError(f"CHANGELOG.md: no section for {version}")
    return found[1].strip() + "\n"


if __name__ == "__main__":
    address, tag = sys.argv[1:]
    sys.stdout.write(section(Path("CHANGELOG.md").read_text(encoding="utf-8"), tag.removeprefix("v")))
    for name, changed in (
        ("README.md", lambda text: public(text, address, tag)),
        ("pyproject.toml", lambda text: with_urls(text, address)),
    ):
        file = Path(name)
        file.write_text(changed(file.read_text(encoding="utf-8")), encoding="utf-8")
