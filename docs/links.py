"""A hook of MkDocs: pages of the repository link to its code, which the site does not have."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\[((?:[^\]\[]|\[[^\]]*\])*)\]\(\.\./[^)]+\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the page with the text of such links in place of them."""
    return _OUTSIDE.sub(r"\1", markdown)
