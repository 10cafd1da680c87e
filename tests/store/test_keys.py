"""Keys in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.store import keys
from bireme.store.keys import SortedKeys, after_prefix, bucket_of

texts = st.text(st.sampled_from(["a", "b", "/", "é", "\ud7ff", "\ue000", "\U0010ffff"]), max_size=5)


@pytest.mark.parametrize(
    ("key", "bucket"),
    [
        ("/registry/core/pods/a/x", "/registry/core/pods/"),
        ("/registry/core/nodes/x", "/registry/core/nodes/"),
        ("/registry/core/pods/", "/registry/core/pods/"),
        ("/registry/core/pods", ""),
        ("/registry/", ""),
        ("", ""),
        ("////", "////"),
    ],
)
def test_bucket(key: str, bucket: str) -> None:
    assert bucket_of(key) == bucket


@given(texts, texts)
def test_after_prefix_is_the_first_text_beyond_all_that_begin_with_it(prefix: str, text: str) -> None:
    end = after_prefix(prefix)
    if end is None:
        assert text.startswith(prefix) or text < prefix
    else:
        assert (prefix <= text < end) == text.startswith(prefix)


@given(st.lists(st.tuples(st.booleans(), texts), max_size=60), texts, texts)
def test_sorted_keys_are_a_sorted_set(changes: list[tuple[bool, str]], prefix: str, after: str) -> None:
    held: set[str] = set()
    sorted_keys = SortedKeys()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "RUN", 2)
        for adds, key in changes:
            if adds and key not in held:
                sorted_keys.add(key)
                held.add(key)
            elif not adds and key in held:
                sorted_keys.remove(key)
                held.remove(key)
        expected = [key for key in sorted(held) if key.startswith(prefix) and key > after]
        # "after nothing" leaves none out
        expected = expected if after else [key for key in sorted(held) if key.startswith(prefix)]
        assert list(sorted_keys.under(prefix, after)) == expected
        assert sorted_keys.count(prefix, after) == len(expected)
        assert len(sorted_keys) == len(held)


def test_removing_what_is_not_there_is_an_error() -> None:
    held = SortedKeys()
    held.add("a")
    with pytest.raises(KeyError):
        held.remove("")
