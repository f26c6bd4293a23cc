"""Text between tags, found in linear time whatever a model wrote."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TagBlock:
    """What stands between an opening and a closing tag, and where: `text[start:end]`, tags included."""

    content: str
    start: int
    end: int


def find_block(text: str, tag: str, *, after: int = 0) -> TagBlock | None:
    """The first `<tag>…</tag>` at or behind `after`, its content stripped; None if there is none."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = text.find(opening, after)
    if start < 0:
        return None
    end = text.find(closing, start + len(opening))
    if end < 0:
        return None
    content = text[start + len(opening) : end].strip()
    return TagBlock(content=content, start=start, end=end + len(closing))


def without_tags(text: str, *tags: str) -> str:
    """`text` with these tags taken out, so that it can stand between them."""
    for tag in tags:
        while f"</{tag}>" in text or f"<{tag}>" in text:  # taking one out may form another
            text = text.replace(f"</{tag}>", "").replace(f"<{tag}>", "")
    return text.strip()
