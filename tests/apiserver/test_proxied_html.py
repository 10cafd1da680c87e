"""Links in pages that come through a proxy."""

import pytest

from bireme.apiserver.proxied_html import is_html, rewritten
from bireme.apiserver.proxy import rewritten_location

PREFIX = "/api/v1/namespaces/a/pods/p/proxy"


def through(link: str) -> str:
    return rewritten_location(link, "http://10.0.0.9:80", PREFIX)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        pytest.param('<a href="/x?y=1">', f'<a href="{PREFIX}/x?y=1">', id="to the server's root"),
        pytest.param("<A HREF='/x'>", f"<A HREF='{PREFIX}/x'>", id="as it was quoted"),
        pytest.param("<img src=/x.png alt=a>", f'<img src="{PREFIX}/x.png" alt=a>', id="not quoted"),
        pytest.param('<a href="http://10.0.0.9:80/x">', f'<a href="{PREFIX}/x">', id="with the server's address"),
        pytest.param('<a href="x">', '<a href="x">', id="relative ones stay"),
        pytest.param('<a href="https://example.com/x">', '<a href="https://example.com/x">', id="others' stay"),
        pytest.param('<p title="/x">href="/x"</p>', '<p title="/x">href="/x"</p>', id="what is no link stays"),
        pytest.param('<!-- <a href="/x"> -->', '<!-- <a href="/x"> -->', id="comments stay"),
        pytest.param(
            '<script src="/a.js">s = \'<a href="/x">\'</script>',
            f'<script src="{PREFIX}/a.js">s = \'<a href="/x">\'</script>',
            id="scripts stay, but for where they come from",
        ),
        pytest.param('<a title=">" href="/x">', f'<a title=">" href="{PREFIX}/x">', id="a bracket in quotes"),
        pytest.param('<a href="/x?a=1&amp;b=2">', f'<a href="{PREFIX}/x?a=1&amp;b=2">', id="escaped as it was"),
    ],
)
def test_links(page: str, expected: str) -> None:
    assert rewritten(page.encode(), through).decode() == expected


def test_bytes_that_are_no_text_stay() -> None:
    assert rewritten(b'\xff<a href="/x">\xfe', through) == b'\xff<a href="' + PREFIX.encode() + b'/x">\xfe'


def test_what_never_ends_is_looked_at_in_time() -> None:
    page = b"<a " + b'href="/x' * 20_000
    assert rewritten(page, through) == page
    page = b"<!--" * 20_000
    assert rewritten(page, through) == page


def test_only_html_has_links() -> None:
    assert is_html("text/html; charset=utf-8")
    assert not is_html("text/plain")
