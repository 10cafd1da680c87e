import uuid

from bireme.aio.uids import BLOCK, new_uid


def test_uids_are_random_uuids_and_differ() -> None:
    made = [new_uid() for _ in range(3 * BLOCK)]
    assert len(set(made)) == len(made)
    for text in made:
        read = uuid.UUID(text)
        assert (read.version, read.variant, str(read)) == (4, uuid.RFC_4122, text)
