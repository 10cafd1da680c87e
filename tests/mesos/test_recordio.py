"""RecordIO: whatever the chunks, the same records; whatever the bytes, no crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.mesos import recordio
from bireme.mesos.recordio import Broken, Reader


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_chunks_do_not_matter(records: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(recordio.frame(record) for record in records)
    reader, found, at = Reader(), [], 0
    for size in sizes:
        found += reader.feed(stream[at : at + size])
        at += size
    found += reader.feed(stream[at:])
    assert found == records
    assert not reader.partial


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    try:
        Reader(max_record=1000).feed(data)
    except Broken:
        pass


@pytest.mark.parametrize(
    "data", [b"-1\nx", b"+1\nx", b" 1\nx", b"\n", b"9" * 30 + b"\n", b"abc\n", b"1001\n", b"0x5\n", b"9" * 30]
)
def test_lengths_that_are_refused(data: bytes) -> None:
    with pytest.raises(Broken):
        Reader(max_record=1000).feed(data)


def test_a_cut_record_is_partial() -> None:
    reader = Reader()
    assert reader.feed(b"5\nab") == []
    assert reader.partial
