import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.errors import ApiError, BadRequest
from bireme.registry.lists import decode_token, encode_token, parse_version


@given(st.integers(1, 2**62), st.from_regex(r"[a-z]{1,9}/[a-z]{1,9}", fullmatch=True))
def test_tokens_come_back_as_they_went(revision, start):
    token = decode_token(encode_token(revision, start + "\0"))
    assert (token.rv, token.start) == (revision, start + "\0")


@pytest.mark.parametrize("start", ["../secrets/a\0", "a//b\0", "./a\0", "a/..\0", ""])
def test_forged_tokens_are_refused(start):
    with pytest.raises(BadRequest):
        decode_token(encode_token(5, start))


@given(st.text(max_size=60))
def test_any_text_is_a_token_or_refused(text):
    try:
        decode_token(text)
    except ApiError:
        pass


@pytest.mark.parametrize(("text", "version"), [("", 0), ("0", 0), ("17", 17)])
def test_versions(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["-1", "a", "1.5", " 1", "٣", "9" * 30])
def test_versions_that_are_none(text):
    with pytest.raises(BadRequest):
        parse_version(text)
