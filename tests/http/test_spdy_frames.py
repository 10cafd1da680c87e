"""SPDY frames, against bytes taken from the protocol's text and against whatever hypothesis thinks of."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.http.spdy_frames import (
    CONTROL_LIMIT,
    DICTIONARY,
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    MoreHeaders,
    Ping,
    Reset,
    Settings,
    SpdyError,
    SynReply,
    SynStream,
    WindowUpdate,
    encode_headers,
    parse_headers,
)

streams = st.integers(1, 2**31 - 1)
words = st.integers(0, 2**31 - 1)
headers = st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), st.text(max_size=50), max_size=8)
frames = st.one_of(
    st.builds(SynStream, streams, headers, st.booleans()),
    st.builds(SynReply, streams, headers, st.booleans()),
    st.builds(MoreHeaders, streams, headers, st.booleans()),
    st.builds(Data, streams, st.binary(max_size=200), st.booleans()),
    st.builds(Reset, streams, words),
    st.builds(Settings, st.lists(st.tuples(st.integers(0, 2**24 - 1), words), max_size=4).map(tuple)),
    st.builds(Ping, words),
    st.builds(GoAway, words, words),
    st.builds(WindowUpdate, words, words),
)


def joined(received: list[Frame]) -> list[Frame]:
    """With the pieces of each data frame put together again."""
    whole: list[Frame] = []
    open_data = False
    for frame in received:
        if isinstance(frame, Data) and open_data and isinstance(whole[-1], Data) and whole[-1].stream == frame.stream:
            whole[-1] = Data(frame.stream, whole[-1].data + frame.data, frame.fin)
        else:
            whole.append(frame)
        open_data = isinstance(frame, Data) and not frame.fin
    return whole


def test_the_dictionary_is_that_of_the_protocol() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        pytest.param(Data(3, b"hi", fin=True), "00000003 01000002 6869", id="data with FIN"),
        pytest.param(Data(1, b""), "00000001 00000000", id="no data"),
        pytest.param(Reset(5, 1), "80030003 00000008 00000005 00000001", id="reset"),
        pytest.param(Settings(((7, 65536),)), "80030004 0000000c 00000001 00000007 00010000", id="settings"),
        pytest.param(Ping(9), "80030006 00000004 00000009", id="ping"),
        pytest.param(GoAway(7), "80030007 00000008 00000007 00000000", id="go away"),
        pytest.param(WindowUpdate(0, 4096), "80030009 00000008 00000000 00001000", id="window update"),
    ],
)
def test_frames_on_the_wire(frame: Frame, wire: str) -> None:
    assert FrameWriter().encode(frame) == bytes.fromhex(wire)
    assert FrameReader().feed(bytes.fromhex(wire)) == [frame]


def test_a_stream_of_kubectl() -> None:
    """The first frame of an exec session: its header block names the dictionary by its checksum."""
    wire = FrameWriter().encode(SynStream(1, {"streamtype": "error"}))
    assert wire[:4] == b"\x80\x03\x00\x01"
    assert wire[8:18] == b"\0\0\0\1\0\0\0\0\0\0"
    assert wire[20:24] == bytes.fromhex("e3c6a7c2")
    block = zlib.decompressobj(zdict=DICTIONARY).decompress(wire[18:])
    assert block == b"\0\0\0\1\0\0\0\x0astreamtype\0\0\0\x05error"


@given(st.lists(frames, max_size=6), st.lists(st.integers(1, 40), max_size=20))
def test_frames_survive_the_wire_however_it_is_cut(sent: list[Frame], cuts: list[int]) -> None:
    writer, reader = FrameWriter(), FrameReader()
    wire = b"".join(writer.encode(frame) for frame in sent)
    received: list[Frame] = []
    for size in cuts:
        received += reader.feed(wire[:size])
        wire = wire[size:]
    received += reader.feed(wire)
    assert joined(received) == joined(sent)


@given(st.binary(max_size=300))
def test_noise_is_refused_or_ignored(noise: bytes) -> None:
    reader = FrameReader()
    try:
        reader.feed(noise)
    except SpdyError:
        pass


@given(st.lists(frames, min_size=1, max_size=4), st.data())
def test_damage_is_refused_or_ignored(sent: list[Frame], data: st.DataObject) -> None:
    writer = FrameWriter()
    wire = bytearray(b"".join(writer.encode(frame) for frame in sent))
    for _ in range(3):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        FrameReader().feed(bytes(wire))
    except SpdyError:
        pass


@given(headers)
def test_headers_come_back(block: dict[str, str]) -> None:
    assert parse_headers(encode_headers(block)) == block


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n" * 2 + b"\x80\x02\0\1\0\0\0\0", id="another version"),
        pytest.param(b"\x80\x03\0\1\0\xff\xff\xff", id="a huge control frame"),
        pytest.param(b"\0\0\0\0\0\0\0\1x", id="data on no stream"),
        pytest.param(b"\x80\x03\0\3\0\0\0\4\0\0\0\1", id="a truncated reset"),
        pytest.param(b"\x80\x03\0\1\0\0\0\x0e\0\0\0\1\0\0\0\0\0\0abcd", id="headers that do not inflate"),
        pytest.param(b"\x80\x03\0\4\0\0\0\4\xff\xff\xff\xff", id="settings that are not there"),
    ],
)
def test_what_breaks_the_protocol(wire: bytes) -> None:
    with pytest.raises(SpdyError):
        FrameReader().feed(wire[-(8 + len(wire) % 1000) :] if wire[:1] != b"G" else wire[36:])


def test_a_header_bomb_is_refused() -> None:
    bomb = FrameWriter().encode(SynStream(1, {"a": "x" * 1_000_000}))
    assert len(bomb) < CONTROL_LIMIT
    with pytest.raises(SpdyError, match="too long"):
        FrameReader().feed(bomb)


def test_a_false_count_of_headers_is_refused() -> None:
    with pytest.raises(SpdyError):
        parse_headers(b"\xff\xff\xff\xff" + b"\0" * 400)
