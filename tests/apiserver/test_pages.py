import zlib

from bireme.apiserver.pages import Page


def test_a_page_is_known_by_its_tag() -> None:
    page = Page.of(b"hello", "text/plain", {"vary": "Accept"})
    status, body, headers = page.answer(gzip=True)
    assert (status, body) == (200, b"hello")
    assert headers == {"etag": f'"{page.etag}"', "vary": "Accept"}
    for said in (f'"{page.etag}"', f'W/"{page.etag}"', f'"x", "{page.etag}"'):
        assert page.answer(gzip=True, if_none_match=said)[:2] == (304, b"")
    assert page.answer(gzip=True, if_none_match='"other"')[0] == 200


def test_large_pages_are_kept_compressed() -> None:
    text = b"hello " * 10_000
    page = Page.of(text, "text/plain", {"vary": "Accept"}, etag="T")
    assert len(page.kept) < 1_000
    assert page.body() == text
    status, body, headers = page.answer(gzip=False)
    assert (status, body) == (200, text)
    assert headers == {"etag": '"T"', "vary": "Accept, Accept-Encoding"}
    status, body, headers = page.answer(gzip=True)
    assert zlib.decompress(body, wbits=31) == text
    assert headers["content-encoding"] == "gzip"
