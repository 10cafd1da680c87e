"""Which resource a word means: `deploy`, `deployments.apps`, `Deployment`, by the server's own discovery."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Served:
    """A resource as discovery tells it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Where an object is, or with no name all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return root + scope + "".join(f"/{part}" for part in (self.plural, name, subresource) if part)


class Resources:
    """All that was served when the documents were read."""

    def __init__(self, *documents: Tree) -> None:
        self._by_word: dict[str, Served] = {}
        self._by_kind: dict[tuple[str, str, str], Served] = {}
        for document in documents:
            for group in document.get("items") or ():
                self._add(group)

    def _add(self, group: Tree) -> None:
        name = (group.get("metadata") or {}).get("name", "")
        for version in group.get("versions") or ():
            for row in version.get("resources") or ():
                kind = (row.get("responseKind") or {}).get("kind", "")
                served = Served(name, version["version"], row["resource"], kind, row.get("scope") == "Namespaced")
                self._by_kind.setdefault((name, served.version, kind), served)
                words = (served.plural, row.get("singularResource", ""), kind, *(row.get("shortNames") or ()))
                for word in filter(None, words):
                    self._by_word.setdefault(word.lower(), served)
                    self._by_word.setdefault(f"{word}.{name}".lower(), served)

    def of_word(self, word: str) -> Served | None:
        """The resource that `word` names; of several, that of the group that comes first."""
        return self._by_word.get(word.lower())

    def of_object(self, tree: Tree) -> Served | None:
        """The resource of an object, by its apiVersion and kind."""
        group, _, version = str(tree.get("apiVersion", "")).rpartition("/")
        return self._by_kind.get((group, version, str(tree.get("kind", ""))))
