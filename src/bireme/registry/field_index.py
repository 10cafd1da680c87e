"""The records of a kind by the value of each field that is indexed: what runs on a node is found without a scan."""

from collections.abc import Iterator

from bireme.api.scheme import Resource
from bireme.registry.record import Record

INDEXED = frozenset({"spec.nodeName"})


class FieldIndex:
    """Records by the number of a field among those of their kind, its value and their key."""

    def __init__(self, resource: Resource) -> None:
        self._records: dict[int, dict[str, dict[str, Record]]] = {
            number: {} for number, name in enumerate(resource.fields) if name in INDEXED
        }

    def __iter__(self) -> Iterator[int]:
        """The numbers of the fields."""
        return iter(self._records)

    def of(self, number: int, value: str) -> list[Record]:
        """The records whose field has that value, in no order."""
        return list(self._records[number].get(value, {}).values())

    def file(self, record: Record, old: Record | None) -> None:
        """Have `record` found in place of `old`, which has its key."""
        for number, index in self._records.items():
            value = record.fields[number]
            if old is not None and old.fields[number] != value:
                _remove(index, old, number)
            index.setdefault(value, {})[record.key] = record

    def remove(self, record: Record) -> None:
        """Have `record` found no more."""
        for number, index in self._records.items():
            _remove(index, record, number)

    def clear(self) -> None:
        """Forget all."""
        for index in self._records.values():
            index.clear()


def _remove(index: dict[str, dict[str, Record]], record: Record, number: int) -> None:
    group = index.get(record.fields[number])
    if group is not None:
        group.pop(record.key, None)
        if not group:
            del index[record.fields[number]]
