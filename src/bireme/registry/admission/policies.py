"""Admission policies and their bindings, as they are now: compiled, matched, and joined with their parameters.

`Policies` compiles a policy when it first sees that revision of it and forgets it when it goes; without any, a
request costs two look-ups. What follows for a request (`Task`) is a policy, a binding and one parameter object.
Left to others: what a policy does (`validating_policy.py`, `mutating_policy.py`).
Source: the documentation of admission policies in Kubernetes.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from bireme.api.cel.errors import CelError
from bireme.api.cel.policies import Policy, compile_policy
from bireme.registry.admission.chain import Attributes, Objects, Place
from bireme.registry.admission.policy_match import Match, is_exempt, match_of, selector_of
from bireme.registry.admission.policy_values import Authorize, Budget, LazyVariables, Values, admission_values
from bireme.registry.admission.webhook_objects import Shown
from bireme.registry.kinds import Kind, KindsOf, Versions

Tree = dict[str, Any]

GROUP = "admissionregistration.k8s.io"
PER_POLICY = 10_000_000
CONDITIONS = 2_500_000
_NO_PARAMS = "no params found for policy binding with `Deny` parameterNotFoundAction"


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a policy applies, and with which parameters."""

    tree: Tree
    match: Match

    @property
    def name(self) -> str:
        """Its name."""
        name: str = self.tree["metadata"]["name"]
        return name

    @property
    def spec(self) -> Tree:
        """Its spec."""
        spec: Tree = self.tree.get("spec") or {}
        return spec


@dataclass(slots=True)
class Known:
    """A policy with what it compiles to (or why it doesn't), its bindings, and whether it asks the authorizer."""

    tree: Tree
    match: Match
    policy: Policy
    fault: str
    asks: bool
    bindings: list[Binding] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name."""
        name: str = self.tree["metadata"]["name"]
        return name

    @property
    def spec(self) -> Tree:
        """Its spec."""
        spec: Tree = self.tree.get("spec") or {}
        return spec

    @property
    def fails(self) -> bool:
        """Whether what can't be evaluated refuses the request."""
        return (self.spec.get("failurePolicy") or "Fail") == "Fail"


@dataclass(frozen=True, slots=True)
class Task:
    """A policy that applies to a request, with a binding, and values but for those of parameters."""

    known: Known
    binding: Binding
    kind: Kind
    values: Values


class Unbound(Exception):
    """A binding can't be used for a request; the text says why."""


class Policies:
    """The policies of one of the two kinds."""

    def __init__(
        self,
        objects: Objects,
        kinds: KindsOf,
        plural: str,
        *,
        shown: Shown,
        authorize: Authorize | None = None,
    ) -> None:
        self.shown = shown
        self._objects = objects
        self._kinds = kinds
        self._plural = plural
        self._bindings = plural.removesuffix("ies") + "ybindings"
        self._authorize = authorize
        self._seen: tuple[list[Tree], list[Tree]] | None = None
        self._known: list[Known] = []
        self._versions = Versions(kinds)

    @property
    def places(self) -> tuple[Place, ...]:
        """The kinds that tell which policies there are."""
        return (GROUP, "v1", self._plural), (GROUP, "v1", self._bindings)

    async def for_request(self, attributes: Attributes) -> AsyncIterator[Task]:
        """The policies that apply, in the order of their names, each with each of its bindings."""
        known = self.current()
        if not known or is_exempt(attributes.kind):
            return
        for each in known:
            if not each.bindings:
                continue
            kind = each.match.version(attributes, self._versions.of)
            if kind is None:
                continue
            namespace = self._namespace(attributes)
            if not each.match.selects(attributes, namespace):
                continue
            bound = [one for one in each.bindings if self._is_bound(one, attributes, namespace)]
            if not bound:
                continue
            # Each is given the object as it is when its turn comes: an earlier one may have changed it.
            for binding in bound:
                values = admission_values(attributes, kind, namespace=namespace, authorize=self._authorize)
                values["object"] = await self.shown.new(attributes, kind)
                values["oldObject"] = await self.shown.old(attributes, kind)
                yield Task(each, binding, kind, values)

    def _is_bound(self, binding: Binding, attributes: Attributes, namespace: Tree | None) -> bool:
        match = binding.match
        return match.version(attributes, self._versions.of) is not None and match.selects(attributes, namespace)

    def _namespace(self, attributes: Attributes) -> Tree | None:
        if not attributes.namespace or attributes.kind.is_a("Namespace"):
            return None
        return self._objects.find("", "v1", "namespaces", "", attributes.namespace)

    # What there is

    def current(self) -> list[Known]:
        """The policies as they are now."""
        trees = self._objects.every(GROUP, "v1", self._plural)
        bindings = self._objects.every(GROUP, "v1", self._bindings) if trees else trees
        if self._seen is None or self._seen[0] is not trees or self._seen[1] is not bindings:
            self._known = self._read(trees, bindings)
            self._seen = (trees, bindings)
        return self._known

    def _read(self, trees: list[Tree], bindings: list[Tree]) -> list[Known]:
        before = {id(each.tree): each for each in self._known}
        found = {}
        for tree in trees:
            known = before.get(id(tree)) or _known(tree)
            known.bindings = []
            found[known.name] = known
        for tree in sorted(bindings, key=lambda each: str(each["metadata"]["name"])):
            spec = tree.get("spec") or {}
            policy = found.get(spec.get("policyName") or "")
            if policy is not None:
                policy.bindings.append(Binding(tree, match_of(spec.get("matchResources"))))
        return [found[name] for name in sorted(found)]

    # Parameters

    def parameters(self, task: Task, attributes: Attributes) -> list[Tree | None]:
        """The objects that the binding names as parameters; None once where the policy takes none. Raises Unbound."""
        wanted = task.known.spec.get("paramKind")
        said = task.binding.spec.get("paramRef")
        if not wanted:
            return [None]
        if not said:
            return [None]
        kind = self._param_kind(wanted)
        if kind is None:
            shown = f"{wanted.get('apiVersion')}, Kind={wanted.get('kind')}"
            raise Unbound(f"failed to find resource referenced by paramKind: '{shown}'")
        namespace = _param_namespace(kind, said, attributes)
        found = self._found_params(kind, said, namespace)
        if not found and said.get("parameterNotFoundAction") != "Allow":
            raise Unbound(f"failed to configure binding: {_NO_PARAMS}")
        return list(found)

    def _found_params(self, kind: Kind, said: Tree, namespace: str) -> list[Tree]:
        resource = kind.resource
        place = (resource.group, resource.version, resource.plural)
        if said.get("name"):
            one = self._objects.find(*place, namespace, said["name"])
            return [] if one is None else [one]
        selector = selector_of(said.get("selector"))
        every = self._objects.every(*place, namespace)
        if selector is None:
            return every
        return [tree for tree in every if selector.matches(tree["metadata"].get("labels") or {})]

    def _param_kind(self, wanted: Tree) -> Kind | None:
        api_version, name = wanted.get("apiVersion"), wanted.get("kind")
        for kind in self._kinds.all():
            if kind.resource.kind == name and kind.resource.api_version == api_version:
                return kind
        return None


def _known(tree: Tree) -> Known:
    spec = tree.get("spec") or {}
    match = match_of(spec.get("matchConstraints"))
    try:
        return Known(tree, match, compile_policy(spec), "", asks="authorizer" in repr(spec))
    except CelError as error:
        return Known(tree, match, Policy(), str(error), asks=False)


def _param_namespace(kind: Kind, said: Tree, attributes: Attributes) -> str:
    if not kind.resource.namespaced:
        if said.get("namespace"):
            raise Unbound("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return ""
    namespace = said.get("namespace") or attributes.namespace
    if not namespace:
        raise Unbound("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    return str(namespace)


def with_params(task: Task, params: Tree | None, budget: Budget) -> Values:
    """The values of all variables."""
    values = {**task.values, "params": params}
    values["variables"] = LazyVariables(task.known.policy.variables, values, budget)
    return values


def conditions_hold(task: Task, values: Values, *, quick: bool = False) -> bool:
    """Whether all match conditions hold. Raises CelError where one can't be evaluated and none is false."""
    budget = Budget(CONDITIONS, quick=quick)
    failure: CelError | None = None
    for name, program in task.known.policy.conditions:
        try:
            if budget.evaluate(program, values) is not True:
                return False
        except CelError as error:
            failure = failure or CelError(f"matchCondition '{name}' failed: {error}")
    if failure is not None:
        raise failure
    return True
