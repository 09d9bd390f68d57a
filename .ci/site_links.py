# noqa: INP001 - a hook of MkDocs
"""Make pages of the documentation's site whole: what they link outside docs/ becomes a page or a link to the source.

CONTRIBUTING.md and SECURITY.md become pages. Any other file is linked where the site's workflow says that the
repository is (SOURCE_URL); without that its name stands there without a link, since the repository has no address.
"""

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = {"CONTRIBUTING.md": "contributing.md", "SECURITY.md": "vulnerabilities.md"}
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside docs/."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - the links alone need no MkDocs

    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Return a page whose links stay inside the site, or lead to the source."""
    folder = ROOT if page.file.src_uri in PAGES.values() else ROOT / "docs"
    return site_links(markdown, folder, os.environ.get("SOURCE_URL"))


def site_links(markdown: str, folder: Path, source: str | None) -> str:
    """Return Markdown of a file in `folder` with its links to other files as the site has them."""

    def on_site(match: re.Match[str]) -> str:
        text, target = match.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return match[0]
        name = os.path.relpath(folder / path, ROOT)
        anchor = anchor and f"#{anchor}"
        if name in PAGES:
            return f"[{text}]({PAGES[name]}{anchor})"
        if name.startswith("docs/"):
            return f"[{text}]({name.removeprefix('docs/')}{anchor})"
        return f"[{text}]({source}/{name})" if source else text

    return _LINK.sub(on_site, markdown)
