"""The protobuf form of OpenAPI v2, read back by the protobuf library with gnostic's field numbers."""

from typing import Any

import orjson
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from bireme.api.scheme import Scheme, builtin
from bireme.apiserver import gnostic
from bireme.apiserver.custom_schemas import CustomDefinitions
from bireme.apiserver.openapi import document_v2
from bireme.registry.kinds import Kinds

FIELD = descriptor_pb2.FieldDescriptorProto
# Message to fields, as "[*]name:type=number": a star for repeated. From OpenAPIv2.proto, what our documents use.
MESSAGES = {
    "AdditionalPropertiesItem": "schema:Schema=1 boolean:bool=2",
    "Any": "yaml:string=2",
    "ApiKeySecurity": "type:string=1 name:string=2 in:string=3 description:string=4",
    "BodyParameter": "description:string=1 name:string=2 in:string=3 required:bool=4 schema:Schema=5",
    "Definitions": "*additional_properties:NamedSchema=1",
    "Document": "swagger:string=1 info:Info=2 paths:Paths=8 definitions:Definitions=9 "
    "*security:SecurityRequirement=12 security_definitions:SecurityDefinitions=13",
    "Info": "title:string=1 version:string=2",
    "ItemsItem": "*schema:Schema=1",
    "NamedAny": "name:string=1 value:Any=2",
    "NamedPathItem": "name:string=1 value:PathItem=2",
    "NamedResponseValue": "name:string=1 value:ResponseValue=2",
    "NamedSchema": "name:string=1 value:Schema=2",
    "NamedSecurityDefinitionsItem": "name:string=1 value:SecurityDefinitionsItem=2",
    "NamedStringArray": "name:string=1 value:StringArray=2",
    "NonBodyParameter": "query_parameter_sub_schema:QueryParameterSubSchema=3 "
    "path_parameter_sub_schema:PathParameterSubSchema=4",
    "Operation": "*tags:string=1 description:string=3 operation_id:string=5 *produces:string=6 *consumes:string=7 "
    "*parameters:ParametersItem=8 responses:Responses=9 *vendor_extension:NamedAny=13",
    "Parameter": "body_parameter:BodyParameter=1 non_body_parameter:NonBodyParameter=2",
    "ParametersItem": "parameter:Parameter=1",
    "PathItem": "get:Operation=2 put:Operation=3 post:Operation=4 delete:Operation=5 patch:Operation=8 "
    "*parameters:ParametersItem=9",
    "PathParameterSubSchema": "required:bool=1 in:string=2 description:string=3 name:string=4 type:string=5 "
    "unique_items:bool=19",
    "Paths": "*path:NamedPathItem=2",
    "Properties": "*additional_properties:NamedSchema=1",
    "QueryParameterSubSchema": "required:bool=1 in:string=2 description:string=3 name:string=4 type:string=6 "
    "unique_items:bool=20",
    "Response": "description:string=1 schema:SchemaItem=2",
    "ResponseValue": "response:Response=1",
    "Responses": "*response_code:NamedResponseValue=1",
    "Schema": "_ref:string=1 format:string=2 description:string=4 default:Any=5 *required:string=19 *enum:Any=20 "
    "additional_properties:AdditionalPropertiesItem=21 type:TypeItem=22 items:ItemsItem=23 properties:Properties=25 "
    "*vendor_extension:NamedAny=31",
    "SchemaItem": "schema:Schema=1",
    "SecurityDefinitions": "*additional_properties:NamedSecurityDefinitionsItem=1",
    "SecurityDefinitionsItem": "api_key_security:ApiKeySecurity=2",
    "SecurityRequirement": "*additional_properties:NamedStringArray=1",
    "StringArray": "*value:string=1",
    "TypeItem": "*value:string=1",
}


@pytest.fixture(scope="module")
def document_class() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name="openapiv2.proto", package="openapi.v2", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields.split():
            label = FIELD.LABEL_REPEATED if field.startswith("*") else FIELD.LABEL_OPTIONAL
            title, _, rest = field.lstrip("*").partition(":")
            kind, _, number = rest.partition("=")
            made = message.field.add(name=title, number=int(number), label=label)
            plain = {"string": FIELD.TYPE_STRING, "bool": FIELD.TYPE_BOOL}
            if kind in plain:
                made.type = plain[kind]
            else:
                made.type, made.type_name = FIELD.TYPE_MESSAGE, f".openapi.v2.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("openapi.v2.Document"))


def unknown_fields(message: Message) -> bool:
    """Whether anything in a message has a number that the descriptors don't know."""
    again = type(message)()
    again.CopyFrom(message)
    again.DiscardUnknownFields()
    return again.ByteSize() != message.ByteSize()


def any_tree(value: Any) -> Any:
    return orjson.loads(value.yaml)


def schema_tree(message: Any) -> dict[str, Any]:
    """A Schema message as the JSON it was made from."""
    tree: dict[str, Any] = {}
    for name, key in (("_ref", "$ref"), ("format", "format"), ("description", "description")):
        if getattr(message, name):
            tree[key] = getattr(message, name)
    if message.required:
        tree["required"] = list(message.required)
    if message.enum:
        tree["enum"] = [any_tree(item) for item in message.enum]
    if message.HasField("default"):
        tree["default"] = any_tree(message.default)
    if message.HasField("additional_properties"):
        tree["additionalProperties"] = schema_tree(message.additional_properties.schema)
    if message.HasField("type"):
        (tree["type"],) = message.type.value
    if message.HasField("items"):
        (item,) = message.items.schema
        tree["items"] = schema_tree(item)
    if message.HasField("properties"):
        tree["properties"] = {pair.name: schema_tree(pair.value) for pair in message.properties.additional_properties}
    tree |= {pair.name: any_tree(pair.value) for pair in message.vendor_extension}
    return tree


def without_empty_descriptions(tree: Any) -> Any:
    if isinstance(tree, dict):
        kept = {key: value for key, value in tree.items() if (key, value) != ("description", "")}
        return {key: without_empty_descriptions(value) for key, value in kept.items()}
    return [without_empty_descriptions(item) for item in tree] if isinstance(tree, list) else tree


def test_the_whole_document_reads_back(document_class: type[Message]) -> None:
    tree = document_v2(builtin(), CustomDefinitions(Kinds(Scheme())))
    message: Any = document_class.FromString(gnostic.document(tree))
    assert not unknown_fields(message)
    assert (message.swagger, message.info.version) == ("2.0", tree["info"]["version"])
    found = {pair.name: schema_tree(pair.value) for pair in message.definitions.additional_properties}
    assert found == without_empty_descriptions(tree["definitions"])
    assert [pair.name for pair in message.paths.path] == list(tree["paths"])
    assert message.security_definitions.additional_properties[0].value.api_key_security.name == "authorization"


def test_operations_read_back(document_class: type[Message]) -> None:
    tree = document_v2(builtin(), CustomDefinitions(Kinds(Scheme())))
    message: Any = document_class.FromString(gnostic.document(tree))
    name = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    item = next(pair.value for pair in message.paths.path if pair.name == name)
    said = tree["paths"][name]["patch"]
    assert item.patch.operation_id == said["operationId"]
    assert list(item.patch.consumes) == said["consumes"]
    assert list(item.patch.produces) == said["produces"]
    extensions = {pair.name: any_tree(pair.value) for pair in item.patch.vendor_extension}
    assert extensions["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert extensions["x-kubernetes-action"] == "patch"
    body, *queries = (each.parameter for each in item.patch.parameters)
    assert body.body_parameter.required
    assert body.body_parameter.schema._ref.endswith("meta.v1.Patch")
    names = [each.non_body_parameter.query_parameter_sub_schema.name for each in queries]
    assert names == ["dryRun", "fieldManager", "fieldValidation"]
    inside = [each.parameter.non_body_parameter.path_parameter_sub_schema for each in item.parameters]
    assert [each.name for each in inside if each.name] == ["name", "namespace"]
    assert all(each.required and each.type == "string" for each in inside if each.name)
    answer = {pair.name: pair.value.response for pair in item.patch.responses.response_code}
    assert answer["200"].schema.schema._ref.endswith("apps.v1.Deployment")
