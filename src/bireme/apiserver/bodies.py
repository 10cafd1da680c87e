"""What a client sent: bodies to trees, query strings to options.

Sizes, depth, repeated keys and aliases are guarded by the codecs.
Source: the Kubernetes documentation on HTTP and writing.
"""

import re
from typing import Any, Literal, cast

import orjson

from bireme.api.codec import json as json_codec
from bireme.api.codec import protobuf
from bireme.api.codec import yaml as yaml_codec
from bireme.api.errors import BadRequest, Cause, Invalid
from bireme.api.selectors import FieldSelector, LabelSelector
from bireme.apiserver.audit import ANNOTATIONS
from bireme.apiserver.negotiation import PROTOBUF, YAML, body_media
from bireme.http.interface import Identity, Query, Request
from bireme.registry.apart import LARGE
from bireme.registry.kinds import Kind
from bireme.registry.lists import parse_version
from bireme.registry.options import Call, DeleteOptions, FieldValidation, ListOptions, WatchOptions
from bireme.registry.selection import Selection

Tree = dict[str, Any]
LONGEST_MANAGER = 128
MOST_LIMIT = 1 << 31
_DURATION = re.compile(r"(\d+(?:\.\d*)?)(h|ms|m|s|us|µs|ns)", re.ASCII)
_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def read_tree(request: Request, call: Call | None = None) -> Any:
    """The body as a tree; keys that came twice are noted in `call`. Raises BadRequest, TooLarge, …"""
    duplicates: list[str] | None = [] if call is not None and call.field_validation != "Ignore" else None
    media = body_media(request)
    if media == PROTOBUF:
        return protobuf.decode(request.body)
    if media == YAML:
        tree = yaml_codec.parse(request.body, duplicates=duplicates)
    else:
        tree = json_codec.parse(request.body, duplicates=duplicates)
    if call is not None and duplicates:
        call.duplicates = tuple(duplicates)
    return tree


def is_json(request: Request) -> bool:
    """Whether the body is to be read as JSON. Raises UnsupportedMediaType."""
    return body_media(request) not in (PROTOBUF, YAML)


def read_object(request: Request, call: Call | None = None) -> Tree:
    """The body as an object. Raises BadRequest for anything else."""
    tree = read_tree(request, call)
    if not isinstance(tree, dict):
        raise BadRequest("the body must be a JSON object")
    return tree


def read_patch(body: bytes, query: Query, call: Call) -> Any:
    """The body of a patch; its media type was seen to. Raises BadRequest, Invalid and TooLarge."""
    if "force" in query:
        text = "Forbidden: may not be specified for non-apply patch"
        raise _bad_option("PATCH", "force", "FieldValueForbidden", text)
    call.names_owners = b"managedFields" in body
    duplicates: list[str] | None = [] if call.field_validation != "Ignore" else None
    patch = json_codec.parse(body, duplicates=duplicates)
    call.duplicates = tuple(duplicates or ())
    return patch


def read_apply(request: Request, call: Call) -> tuple[Any, bool]:
    """The configuration that an apply sends, and whether it is forced. Raises BadRequest, Invalid, TooLarge."""
    if not request.query.get("fieldManager"):
        text = "Required value: is required for apply patch"
        raise _bad_option("PATCH", "fieldManager", "FieldValueRequired", text)
    duplicates: list[str] | None = [] if call.field_validation != "Ignore" else None
    body = request.body
    parse = json_codec.parse if body.lstrip()[:1] == b"{" else yaml_codec.parse
    try:
        config = parse(body, duplicates=duplicates)
    except BadRequest as error:
        raise BadRequest(f"error decoding YAML: {error.message}") from error
    call.duplicates = tuple(duplicates or ())
    return config, request.query.flag("force")


def read_call(request: Request, user: Identity) -> Call:
    """The options of a write."""
    query, notes = request.query, ANNOTATIONS.get()
    return Call(
        user=user,
        large=len(request.body) > LARGE,
        audit={} if notes is None else notes,
        dry_run=_dry_run(query.all("dryRun"), request.method),
        field_manager=_manager(query.get("fieldManager"), request),
        field_validation=_validation(query.get("fieldValidation"), request.method),
    )


def _dry_run(values: list[str], method: str) -> bool:
    for value in values:
        if value != "All":
            text = f'Unsupported value: "{value}": supported values: "All"'
            raise _bad_option(method, "dryRun", "FieldValueNotSupported", text)
    return bool(values)


def _manager(said: str, request: Request) -> str:
    """The field manager that the client names; else its User-Agent does, up to the first `/`."""
    if not said:
        name = request.headers.get("user-agent", "").partition("/")[0]
        return name[:LONGEST_MANAGER] if name.isprintable() else "".join(filter(str.isprintable, name))
    if len(said.encode()) > LONGEST_MANAGER:
        text = f"Too long: may not be more than {LONGEST_MANAGER} bytes"
        raise _bad_option(request.method, "fieldManager", "FieldValueTooLong", text)
    if not said.isprintable():
        text = f"Invalid value: {orjson.dumps(said).decode()}: should only contain printable characters"
        raise _bad_option(request.method, "fieldManager", "FieldValueInvalid", text)
    return said


def _validation(said: str, method: str) -> FieldValidation:
    if said not in ("", "Ignore", "Warn", "Strict"):
        text = f'Unsupported value: "{said}": supported values: "Ignore", "Strict", "Warn"'
        raise _bad_option(method, "fieldValidation", "FieldValueNotSupported", text)
    return cast("FieldValidation", said or "Warn")


_OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}


def _bad_option(method: str, field: str, reason: str, text: str) -> Invalid:
    kind = _OPTIONS.get(method, "Options")
    return Invalid(
        f'{kind}.meta.k8s.io "" is invalid: {field}: {text}',
        details={"group": "meta.k8s.io", "kind": kind},
        causes=(Cause(reason, text, field),),
    )


def read_selection(kind: Kind, namespace: str, query: Query, *, name: str = "") -> Selection:
    """Which objects a list, watch or deletecollection means. Raises BadRequest for selectors that make no sense."""
    labels_text, fields_text = query.get("labelSelector"), query.get("fieldSelector")
    labels = LabelSelector.parse(labels_text) if labels_text else None
    if name:
        fields_text = f"metadata.name={name}" + (f",{fields_text}" if fields_text else "")
    builtin = kind.custom is None
    fields = FieldSelector.parse(fields_text, kind.resource.selectable, builtin=builtin) if fields_text else None
    return Selection(
        kind.resource,
        namespace,
        None if labels is None or labels.everything else labels,
        None if fields is None or fields.everything else fields,
    )


def read_list_options(query: Query) -> ListOptions:
    """Limit, continue and resource version of a list."""
    return ListOptions(
        limit=_number(query, "limit"),
        continue_token=query.get("continue"),
        resource_version=query.get("resourceVersion"),
        match=query.get("resourceVersionMatch"),  # type: ignore[arg-type]
        initial_events=query.flag("sendInitialEvents") if "sendInitialEvents" in query else None,
    )


def read_watch_options(query: Query) -> WatchOptions:
    """Where a watch begins and when it ends."""
    said = query.get("sendInitialEvents")
    return WatchOptions(
        resource_version=query.get("resourceVersion"),
        match=query.get("resourceVersionMatch"),  # type: ignore[arg-type]
        bookmarks=query.flag("allowWatchBookmarks"),
        initial_events=query.flag("sendInitialEvents") if said else None,
        timeout_s=float(_number(query, "timeoutSeconds")),
    )


def read_delete_options(request: Request) -> DeleteOptions:
    """How to delete, from the body or the query. Raises BadRequest and Invalid."""
    said = _delete_body(request)
    query = request.query
    if said.get("gracePeriodSeconds") is None and query.get("gracePeriodSeconds"):
        said["gracePeriodSeconds"] = _signed(query.get("gracePeriodSeconds"))
    if not said.get("propagationPolicy") and query.get("propagationPolicy"):
        said["propagationPolicy"] = query.get("propagationPolicy")
    if said.get("orphanDependents") is None and "orphanDependents" in query:
        said["orphanDependents"] = query.flag("orphanDependents")
    return delete_options_of(said)


def delete_options_of(said: Any) -> DeleteOptions:
    """A DeleteOptions object as the registry takes it. Raises BadRequest and Invalid."""
    if not isinstance(said, dict) or said.get("kind", "DeleteOptions") != "DeleteOptions":
        raise BadRequest("the body of a delete must be a DeleteOptions object")
    grace = said.get("gracePeriodSeconds")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int)):
        raise BadRequest("DeleteOptions.gracePeriodSeconds must be an integer")
    preconditions = said.get("preconditions") or {}
    if not isinstance(preconditions, dict):
        raise BadRequest("DeleteOptions.preconditions must be an object")
    version = str(preconditions.get("resourceVersion") or "")
    parse_version(version)
    return DeleteOptions(grace, str(preconditions.get("uid") or ""), version, _propagation(said))


def _propagation(said: Tree) -> Literal["", "Background", "Foreground", "Orphan"]:
    policy, orphan = said.get("propagationPolicy"), said.get("orphanDependents")
    if orphan is not None and policy:
        raise _bad_delete("FieldValueInvalid", "orphanDependents and deletionPropagation cannot be both set")
    if orphan is not None:
        return "Orphan" if orphan else "Background"
    if policy in (None, ""):
        return ""
    if policy not in ("Background", "Foreground", "Orphan"):
        shown = 'supported values: "Background", "Foreground", "Orphan", "nil"'
        raise _bad_delete("FieldValueNotSupported", f'Unsupported value: "{policy}": {shown}')
    return policy  # type: ignore[no-any-return]


def is_dry_run(said: Tree) -> bool:
    """Whether a DeleteOptions object asks for a dry run. Raises Invalid for what that can't mean."""
    values = said.get("dryRun")
    return _dry_run([str(value) for value in values], "DELETE") if isinstance(values, list) else False


def _delete_body(request: Request) -> Tree:
    body = read_tree(request) if request.body.strip() else {}
    if not isinstance(body, dict):
        raise BadRequest("the body of a delete must be a DeleteOptions object")
    return body


def read_delete_call(request: Request, user: Identity) -> Call:
    """The options of a delete that every write has; `dryRun` may stand in the body too."""
    call = read_call(request, user)
    call.dry_run = call.dry_run or is_dry_run(_delete_body(request))
    return call


def _bad_delete(reason: str, text: str) -> Invalid:
    return Invalid(
        f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: {text}',
        details={"group": "meta.k8s.io", "kind": "DeleteOptions"},
        causes=(Cause(reason, text, "propagationPolicy"),),
    )


def read_timeout(query: Query, *, most: float) -> float:
    """Seconds that the request may take: `?timeout=` where it is shorter than `most`."""
    said = query.get("timeout")
    if not said:
        return most
    if said.isdecimal():
        seconds = float(said)
    else:
        parts = _DURATION.findall(said)
        if "".join(number + unit for number, unit in parts) != said:
            raise BadRequest(f'invalid timeout specified in the request URL: time: invalid duration "{said[:64]}"')
        seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    return min(seconds, most) if seconds > 0 else most


def _number(query: Query, name: str) -> int:
    said = query.get(name)
    number = _signed(said) if said else 0
    if not 0 <= number < MOST_LIMIT:
        raise BadRequest(f'invalid value "{said[:32]}" of {name}')
    return number


def _signed(said: str) -> int:
    text = said.removeprefix("-")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadRequest(f'strconv.ParseInt: parsing "{said[:32]}": invalid syntax')
    return int(said)
