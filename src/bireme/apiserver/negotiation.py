"""What form the client takes its answer in: the Accept header to a view and an encoding.

The first entry that can be served wins, those of a higher q before others. Built-in kinds have a protobuf form; of
other kinds only the metadata has.
Source: the Kubernetes documentation on HTTP and content.
"""

import functools
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from bireme.api.codec import protobuf_encoder, protobuf_fields
from bireme.api.codec.yaml import dump as dump_yaml
from bireme.api.errors import NotAcceptable, UnsupportedMediaType
from bireme.http.interface import Answer, Request, Response, Stream

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = protobuf_fields.MEDIA_TYPE
COMPRESS_OVER = 128 << 10
_ANY = ("*/*", "application/*")
_MEDIAS = {JSON: JSON, YAML: YAML, PROTOBUF: PROTOBUF} | dict.fromkeys(_ANY, JSON)
_PARTIAL: Mapping[str, Literal["Table", "Partial"]] = {
    "PartialObjectMetadata": "Partial",
    "PartialObjectMetadataList": "Partial",
    "Table": "Table",
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """`form` is the whole object, rows of a Table, or metadata alone; `version` that of meta.k8s.io."""

    media: str = JSON
    form: Literal["", "Table", "Partial"] = ""
    version: str = "v1"


PLAIN = Accepted()


@functools.lru_cache(maxsize=512)
def accepted(header: str, *, forms: bool = True, protobuf: bool = True, watch: bool = False) -> Accepted:
    """What the first entry that we can serve asks for. Raises NotAcceptable when there is none.

    With `forms` False the answer has one form only (a Status, a review), and entries that ask for another
    form are passed over. `protobuf` tells whether whole objects of the kind have that form.
    """
    if not header:
        return PLAIN
    offered = [media for media in (JSON, YAML, PROTOBUF) if not (watch and media == YAML)]
    for media, said in _entries(header):
        if media in offered:
            chosen = _chosen(media, said, forms=forms, protobuf=protobuf)
            if chosen is not None:
                return chosen
    names = ", ".join(f"{media};stream=watch" if watch else media for media in offered)
    raise NotAcceptable(f"only the following media types are accepted: {names}")


def _chosen(media: str, said: Mapping[str, str], *, forms: bool, protobuf: bool) -> Accepted | None:
    """One entry as we serve it; None where we don't."""
    wanted, version = said.get("as", ""), said.get("v", "v1")
    if not wanted:
        return Accepted(media) if media != PROTOBUF or protobuf else None
    form = _PARTIAL.get(wanted) if forms and said.get("g", "meta.k8s.io") == "meta.k8s.io" else None
    if form is None or version not in ("v1", "v1beta1"):
        return None
    if media == PROTOBUF and (form == "Table" or version != "v1"):
        return None  # what Go has no protobuf form of
    return Accepted(media, form, version)


def _entries(header: str) -> list[tuple[str, dict[str, str]]]:
    """Media types that we know with their parameters, the most wanted first."""
    found = []
    for entry in header.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        media = _MEDIAS.get(name.lower())
        if media is not None:
            found.append((media, dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)))
    if "q=" in header:
        found.sort(key=_quality, reverse=True)
    return found


def _quality(entry: tuple[str, dict[str, str]]) -> float:
    try:
        return float(entry[1].get("q", "1"))
    except ValueError:
        return 1.0


def wants_pretty(request: Request) -> bool:
    """Whether a person reads the answer: they said so, or came by curl, wget or a browser."""
    said = request.query.get("pretty")
    if said:
        return said.lower() not in ("false", "0")
    agent = request.headers.get("user-agent", "")
    return agent.startswith(("curl", "Wget", "Mozilla/5.0"))


def body_media(request: Request) -> str:
    """JSON, YAML or PROTOBUF: how the body is to be read. Raises UnsupportedMediaType."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media in ("", JSON, "application/octet-stream", "*/*"):
        return JSON
    if media in (YAML, PROTOBUF):
        return media
    raise UnsupportedMediaType(
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


def answer(
    request: Request, body: bytes, *, media: str = JSON, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A whole answer of `body`, which is JSON or protobuf; YAML, indented or compressed where that is asked for."""
    made = dict(headers or {})
    if media == YAML:
        body = dump_yaml(orjson.loads(body))
    elif media == JSON and wants_pretty(request):
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if len(body) > COMPRESS_OVER and takes_gzip(request):
        body = zlib.compress(body, 1, wbits=31)
        made["content-encoding"] = "gzip"
        made["vary"] = "Accept-Encoding"
    return Response(status, body, made, media)


def takes_gzip(request: Request) -> bool:
    """Whether the client can read gzip."""
    return "gzip" in request.headers.get("accept-encoding", "")


def streamed(
    request: Request, chunks: Iterable[bytes], *, media: str = JSON, headers: Mapping[str, str] | None = None
) -> Answer:
    """A long answer in pieces, compressed where the client takes it; pretty and YAML ones are made whole."""
    if media == YAML or (media == JSON and wants_pretty(request)):
        return answer(request, b"".join(chunks), media=media, headers=headers)
    made = dict(headers or {})
    if takes_gzip(request):
        made["content-encoding"] = "gzip"
        made["vary"] = "Accept-Encoding"
        return Stream(_pieces(_gzip(chunks)), 200, made, media)
    return Stream(_pieces(chunks), 200, made, media)


async def _pieces(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _gzip(chunks: Iterable[bytes]) -> Iterable[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    for chunk in chunks:
        packed = packer.compress(chunk)
        if packed:
            yield packed
    yield packer.flush()


def encoded(tree: Any, media: str) -> bytes:
    """An object as it goes to `answer`."""
    return protobuf_encoder.encode(tree) if media == PROTOBUF else orjson.dumps(tree)
