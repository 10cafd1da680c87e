"""An OpenAPI v2 document in the protobuf form that older clients read: gnostic's `openapi.v2.Document`.

Only what our documents hold is written. Fields are listed by number, as in OpenAPIv2.proto of google/gnostic;
extensions go in as YAML text (JSON is YAML). Protobuf wants children before their length is known, so each
message is made as bytes and put into its parent.
"""

from typing import Any

import orjson

Tree = dict[str, Any]


def document(tree: Tree) -> bytes:
    """The message of a whole v2 document."""
    return b"".join(
        (
            _text(1, tree["swagger"]),
            _message(2, _text(1, tree["info"]["title"]) + _text(2, tree["info"]["version"])),
            _message(8, b"".join(_named(2, path, _path_item(item)) for path, item in tree["paths"].items())),
            _message(9, b"".join(_named(1, name, schema(item)) for name, item in tree["definitions"].items())),
            _security(tree),
        )
    )


def schema(said: Tree) -> bytes:
    """The message of a schema."""
    parts = [
        _text(1, said.get("$ref", "")),
        _text(2, said.get("format", "")),
        _text(4, said.get("description", "")),
        *(_text(19, name) for name in said.get("required", ())),
        *(_message(20, _any(value)) for value in said.get("enum", ())),
    ]
    if "default" in said:
        parts.insert(3, _message(5, _any(said["default"])))
    if "additionalProperties" in said:
        parts.append(_message(21, _message(1, schema(said["additionalProperties"]))))
    if "type" in said:
        parts.append(_message(22, _text(1, said["type"])))
    if "items" in said:
        parts.append(_message(23, _message(1, schema(said["items"]))))
    if "properties" in said:
        parts.append(
            _message(25, b"".join(_named(1, name, schema(item)) for name, item in said["properties"].items()))
        )
    parts.append(_extensions(31, said))
    return b"".join(parts)


# Method to field number in PathItem.
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def _path_item(item: Tree) -> bytes:
    operations = b"".join(
        _message(number, _operation(item[name])) for name, number in _METHODS.items() if name in item
    )
    return operations + b"".join(_message(9, _parameter(said)) for said in item.get("parameters", ()))


def _operation(said: Tree) -> bytes:
    return b"".join(
        (
            *(_text(1, tag) for tag in said["tags"]),
            _text(3, said["description"]),
            _text(5, said["operationId"]),
            *(_text(6, media) for media in said["produces"]),
            *(_text(7, media) for media in said["consumes"]),
            *(_message(8, _parameter(item)) for item in said["parameters"]),
            _message(9, b"".join(_named(1, code, _response(item)) for code, item in said["responses"].items())),
            _extensions(13, said),
        )
    )


def _response(said: Tree) -> bytes:
    body = _message(2, _message(1, schema(said["schema"]))) if "schema" in said else b""
    return _message(1, _text(1, said["description"]) + body)


def _parameter(said: Tree) -> bytes:
    """A ParametersItem: a body, or a query or path parameter."""
    required = _flag(1, said.get("required", False))
    place, name, description = said["in"], said["name"], said.get("description", "")
    if place == "body":
        body = _text(1, description) + _text(2, name) + _text(3, place) + _flag(4, said.get("required", False))
        return _message(1, _message(1, body + _message(5, schema(said["schema"]))))
    head = required + _text(2, place) + _text(3, description) + _text(4, name)
    if place == "query":
        other = _message(3, head + _text(6, said["type"]) + _flag(20, said.get("uniqueItems", False)))
    else:
        other = _message(4, head + _text(5, said["type"]) + _flag(19, said.get("uniqueItems", False)))
    return _message(1, _message(2, other))


def _security(tree: Tree) -> bytes:
    made = b""
    for requirement in tree.get("security", ()):
        made += _message(12, b"".join(_named(1, name, b"") for name in requirement))
    schemes = b"".join(
        _named(1, name, _message(2, _text(1, said["type"]) + _text(2, said["name"]) + _text(3, said["in"])))
        for name, said in tree.get("securityDefinitions", {}).items()
    )
    return made + (_message(13, schemes) if schemes else b"")


def _extensions(number: int, said: Tree) -> bytes:
    return b"".join(_named(number, name, _any(said[name])) for name in sorted(said) if name.startswith("x-"))


def _any(value: Any) -> bytes:
    return _text(2, orjson.dumps(value).decode() + "\n")


def _named(number: int, name: str, value: bytes) -> bytes:
    """A pair of a map: NamedSchema, NamedAny and their like all look alike."""
    return _message(number, _text(1, name) + _message(2, value))


def _text(number: int, value: str) -> bytes:
    return _message(number, value.encode()) if value else b""


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + b"\x01" if value else b""


def _message(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    if value < 0x80:
        return _SHORT[value]
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


_SHORT = tuple(bytes((value,)) for value in range(0x80))
