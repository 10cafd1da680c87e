"""What is part of many messages is written once, and reads the same as what is written each time."""

import orjson

from bireme.mesos import json_form, wire
from bireme.mesos.messages import Shared, SharedList, message


def test_a_shared_part_is_written_as_any_other() -> None:
    of = message("mesos.v1.Offer")
    attribute = {"name": "rack", "type": "TEXT", "text": {"value": "r1"}}
    plain = {"id": {"value": "O1"}, "hostname": "h", "attributes": [attribute]}
    shared, all_shared = Shared(attribute), SharedList([attribute])
    for number in range(2):
        for attributes in ([shared], all_shared):
            offer = plain | {"id": {"value": f"O{number}"}, "attributes": attributes}
            same = plain | {"id": {"value": f"O{number}"}}
            assert orjson.loads(json_form.dump(offer, of)) == orjson.loads(json_form.dump(same, of))
            assert wire.dump(offer, of) == wire.dump(same, of)
    assert shared == attribute
    assert all_shared == [attribute]
    assert json_form.dump({"id": {"value": "O"}, "attributes": SharedList([])}, of) == b'{"id":{"value":"O"}}'
