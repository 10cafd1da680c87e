import pytest

from bireme.controllers.hashing import ALPHABET, fnv1a_32, safe, short_hash


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", 0x811C9DC5, id="nothing gives the offset"),
        pytest.param(b"a", 0xE40C292C, id="one byte, as in the published vectors"),
        pytest.param(b"foobar", 0xBF9CF968, id="a word, as in the published vectors"),
    ],
)
def test_fnv1a_32(data: bytes, expected: int) -> None:
    assert fnv1a_32(data) == expected


def test_safe_uses_its_alphabet_alone() -> None:
    text = safe(0x811C9DC5)
    assert len(text) == 10
    assert set(text) <= set(ALPHABET)


def test_collisions_give_another_name_for_the_same_value() -> None:
    names = {short_hash({"a": 1}, collisions=number) for number in range(50)}
    assert len(names) == 50


def test_the_order_of_keys_does_not_matter() -> None:
    assert short_hash({"a": 1, "b": 2}) == short_hash({"b": 2, "a": 1})
