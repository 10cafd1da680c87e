"""Expressions over the claims of a token: who its user is, and whether it may be let in.

`claims` holds the token's claims, `user` what became of them. An expression that fails, gives another type than it
must, or costs more than a moment of work lets nobody in. Compiled when the file is read, so that what is wrong is
told then. Source: the Kubernetes documentation on structured authentication configuration.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bireme.api.cel.environment import Environment
from bireme.api.cel.errors import CelError
from bireme.api.cel.program import QUICK, Program, compile
from bireme.api.cel.types import DYN, STRING, Struct, list_of, map_of
from bireme.http.interface import Identity

Tree = dict[str, Any]

_CLAIMS = {"claims": map_of(STRING, DYN)}
_USER = {
    "user": Struct(
        "kubernetes.UserInfo",
        {
            "username": STRING,
            "uid": STRING,
            "groups": list_of(STRING),
            "extra": map_of(STRING, list_of(STRING)),
        },
    )
}
_EXTRA_KEY = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[a-z0-9._~!$&'()*+,;=:@%/-]+")
_EMAIL, _VERIFIED = re.compile(r"\bclaims\.email\b"), re.compile(r"\bclaims\.\??email_verified\b")


@dataclass(frozen=True, slots=True)
class Expressions:
    """What stands in the place of claims, and beside them; None where a claim names it, or nothing does."""

    username: Program | None = None
    groups: Program | None = None
    uid: Program | None = None
    extra: tuple[tuple[str, Program], ...] = ()
    claims: tuple[Program, ...] = ()
    user: tuple[Program, ...] = ()

    def let_in(self, claims: Tree) -> bool:
        """Whether every rule about claims holds. Raises CelError."""
        return all(_value(rule, {"claims": claims}) is True for rule in self.claims)

    def are_met_by(self, user: Identity) -> bool:
        """Whether every rule about users holds. Raises CelError."""
        if not self.user:
            return True
        extra = {name: list(values) for name, values in user.extra.items()}
        told = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
        return all(_value(rule, {"user": told}) is True for rule in self.user)

    def extras(self, claims: Tree) -> Iterator[tuple[str, list[str]]]:
        """What else is said of the user. Raises CelError."""
        for key, program in self.extra:
            if values := texts(_value(program, {"claims": claims})):
                yield key, values


NONE = Expressions()


def text_of(program: Program, claims: Tree) -> str:
    """The text that an expression gives. Raises CelError where it gives something else."""
    value = _value(program, {"claims": claims})
    if not isinstance(value, str):
        raise CelError("must evaluate to a string")
    return value


def texts_of(program: Program, claims: Tree) -> list[str]:
    """The texts that an expression gives, if any. Raises CelError."""
    return texts(_value(program, {"claims": claims}))


def texts(value: Any) -> list[str]:
    """One text or many; none for null. Raises CelError for anything else."""
    many = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(many, list) or not all(isinstance(one, str) for one in many):
        raise CelError("must evaluate to a string or a list of strings")
    return [one for one in many if one]


def _value(program: Program, values: Mapping[str, Any]) -> Any:
    return program.run(values, limit=QUICK).value


def expressions_of(tree: Tree) -> Expressions:
    """The expressions of one entry of `jwt`. Raises ValueError and CelError with what is wrong."""
    mappings, rules = tree.get("claimMappings") or {}, tree.get("claimValidationRules") or ()
    claims = [str(rule["expression"]) for rule in rules if "expression" in rule]
    username = _said(mappings, "username")
    extra = [(str(one["key"]), str(one["valueExpression"])) for one in mappings.get("extra") or ()]
    for key, _ in extra:
        _check_key(key, [name for name, _ in extra])
    elsewhere = " ".join([*claims, *(text for _, text in extra), username or ""])
    if username and _EMAIL.search(username) and not _VERIFIED.search(elsewhere):
        raise ValueError("where claims.email names the user, claims.email_verified must be looked at")
    return Expressions(
        _compiled(username, "string"),
        _compiled(_said(mappings, "groups"), "string", "list"),
        _compiled(_said(mappings, "uid"), "string"),
        tuple((key, compiled(text, _CLAIMS, "string", "list")) for key, text in extra),
        tuple(compiled(text, _CLAIMS, "bool") for text in claims),
        tuple(compiled(str(rule["expression"]), _USER, "bool") for rule in tree.get("userValidationRules") or ()),
    )


def _said(mappings: Tree, name: str) -> str | None:
    said = mappings.get(name) or {}
    if "expression" not in said:
        return None
    if "claim" in said or "prefix" in said:
        raise ValueError(f"{name} has an expression, or a claim and a prefix")
    return str(said["expression"])


def _check_key(key: str, keys: list[str]) -> None:
    domain = key.partition("/")[0]
    reserved = any(domain == name or domain.endswith("." + name) for name in ("k8s.io", "kubernetes.io"))
    if not _EXTRA_KEY.fullmatch(key) or reserved:
        raise ValueError(f"{key!r} is no key under a domain of one's own, in small letters")
    if keys.count(key) > 1:
        raise ValueError(f"{key!r} is said twice")


def _compiled(text: str | None, *kinds: str) -> Program | None:
    return None if text is None else compiled(text, _CLAIMS, *kinds)


def compiled(text: str, variables: Mapping[str, Any], *kinds: str) -> Program:
    """The program of an expression that gives one of these types. Raises CelError."""
    program = compile(text, Environment(variables))
    if program.result.name not in (*kinds, "dyn"):
        raise CelError(f"{text!r} must evaluate to {' or '.join(kinds)}")
    return program
