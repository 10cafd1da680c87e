"""Messages in and out of bytes, by content type; the front of `json_form.py`, `wire.py` and `recordio.py`."""

import enum

from bireme.mesos import json_form, recordio, wire
from bireme.mesos.messages import Message, MessageType, message

SCHEDULER_CALL = "mesos.v1.scheduler.Call"
SCHEDULER_EVENT = "mesos.v1.scheduler.Event"
MASTER_CALL = "mesos.v1.master.Call"
MASTER_RESPONSE = "mesos.v1.master.Response"
MASTER_EVENT = "mesos.v1.master.Event"
AGENT_CALL = "mesos.v1.agent.Call"
AGENT_RESPONSE = "mesos.v1.agent.Response"


class ContentType(enum.Enum):
    """How a message is written."""

    JSON = "application/json"
    PROTOBUF = "application/x-protobuf"


def decode(data: bytes, name: str, content_type: ContentType) -> Message:
    """The message of type `name` in a body. Raises json_form.Malformed."""
    of = message(name)
    return json_form.parse(data, of) if content_type is ContentType.JSON else wire.parse(data, of)


def encode(value: Message, name: str, content_type: ContentType) -> bytes:
    """A message of type `name` as bytes."""
    of: MessageType = message(name)
    return json_form.dump(value, of) if content_type is ContentType.JSON else wire.dump(value, of)


def record(value: Message, name: str, content_type: ContentType) -> bytes:
    """A message as one record of a stream."""
    return recordio.frame(encode(value, name, content_type))


def acceptable(accept: str) -> ContentType | None:
    """What the client takes, JSON first; None if it takes neither. "" means that no header came."""
    ranges = _ranges(accept) if accept.strip() else {"*/*": 1.0}
    for content_type in ContentType:
        kind = content_type.value.partition("/")[0]
        quality = next((ranges[key] for key in (content_type.value, f"{kind}/*", "*/*") if key in ranges), 0.0)
        if quality > 0:
            return content_type
    return None


def _ranges(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        found[kind] = quality
    return found
