"""Links in pages that come through a proxy: those to the proxied server's own root lead through the proxy again.

Only what stands in the attributes of tags that hold links is looked at; all else of the page stays as it is, byte by
byte. Plain functions. Source: the Kubernetes documentation on proxies of pods, services and nodes; the elements and
attributes with links are those of HTML.
"""

import re
from collections.abc import Callable, Iterator
from html import escape, unescape

LARGEST_PAGE = 4 << 20
LONGEST_TAG = 16 << 10
Rewrite = Callable[[str], str]

_ATTRIBUTES = {
    "a": "href",
    "applet": "codebase",
    "area": "href",
    "audio": "src",
    "base": "href",
    "blockquote": "cite",
    "body": "background",
    "button": "formaction",
    "command": "icon",
    "del": "cite",
    "embed": "src",
    "form": "action",
    "frame": "longdesc src",
    "head": "profile",
    "html": "manifest",
    "iframe": "longdesc src",
    "img": "longdesc src usemap",
    "input": "formaction src usemap",
    "ins": "cite",
    "link": "href",
    "object": "classid codebase data usemap",
    "q": "cite",
    "script": "src",
    "source": "src",
    "track": "src",
    "video": "poster src",
}
_LINKS = {name: frozenset(attributes.split()) for name, attributes in _ATTRIBUTES.items()}
_NAME = r"[^\s\"'<>/=]+"
_TAG_NAME = re.compile(r"<([a-zA-Z][a-zA-Z0-9]*)")
_BREAK = re.compile(r"[>\"']")
_RAW_ENDS = {name: re.compile(rf"</{name}", re.IGNORECASE) for name in ("script", "style")}
_ATTRIBUTE = re.compile(rf"(?P<name>\s{_NAME})(?P<is>\s*=\s*)(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"'>]+)")


def is_html(media: str) -> bool:
    """Whether a page of that type has links."""
    return media.partition(";")[0].strip().lower() == "text/html"


def rewritten(page: bytes, rewrite: Rewrite) -> bytes:
    """The page with every link as `rewrite` has it. Bytes that are no text stay as they are."""
    text = page.decode("utf-8", "surrogateescape")
    return "".join(_pieces(text, rewrite)).encode("utf-8", "surrogateescape")


def _pieces(text: str, rewrite: Rewrite) -> Iterator[str]:
    """The page in pieces. What is not closed ends the search, so that the time grows as the page does, no faster."""
    at = 0
    while (start := text.find("<", at)) >= 0:
        yield text[at:start]
        name = _TAG_NAME.match(text, start)
        if text.startswith("<!--", start):
            end = text.find("-->", start)
        elif name is not None:
            end = _tag_end(text, name.end())
        else:
            end = start + 1
        if end < 0:
            at = start
            break
        piece = text[start:end]
        yield _tag(piece, name[1].lower(), rewrite) if name is not None else piece
        at = end
        raw_end = _RAW_ENDS.get(name[1].lower()) if name is not None else None
        if raw_end is not None:  # no tags of the page are in there
            found = raw_end.search(text, end)
            if found is None:
                break
            yield text[end : found.start()]
            at = found.start()
    yield text[at:]


def _tag_end(text: str, at: int) -> int:
    """Behind the bracket that ends a tag, past what is quoted; -1 where none does."""
    while (found := _BREAK.search(text, at)) is not None:
        if found[0] == ">":
            return found.end()
        at = text.find(found[0], found.end()) + 1
        if at == 0:
            break
    return -1


def _tag(tag: str, name: str, rewrite: Rewrite) -> str:
    links = _LINKS.get(name)
    if links is None or len(tag) > LONGEST_TAG:
        return tag

    def attribute(match: re.Match[str]) -> str:
        if match["name"].strip().lower() not in links:
            return match[0]
        value = match["value"]
        quote = value[0] if value[0] in "\"'" else ""
        said = unescape(value[1:-1] if quote else value)
        link = rewrite(said)
        if link == said:
            return match[0]
        quote = quote or '"'
        return f"{match['name']}{match['is']}{quote}{escape(link, quote=True)}{quote}"

    return _ATTRIBUTE.sub(attribute, tag)
