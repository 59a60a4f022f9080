"""What the documents link to is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def links(text: str) -> Iterator[str]:
    """Of Markdown and of HTML, to places in this repository, without their anchors."""
    for link in re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", text):
        target = "".join(link).partition("#")[0]
        if target and not re.match(r"[a-z]+:|/", target):
            yield target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(document: Path) -> None:
    missing = [link for link in links(document.read_text()) if not (document.parent / link).exists()]

    assert missing == []


def test_no_picture_is_left_that_no_document_shows() -> None:
    shown = {(document.parent / link).resolve() for document in DOCUMENTS for link in links(document.read_text())}

    assert set((ROOT / "docs" / "pictures").iterdir()) - shown == set()
