"""What a CertificateSigningRequest asks for, read off its tree. `cryptography` is loaded when one is looked at."""

import base64
import binascii
from typing import Any, NamedTuple

Tree = dict[str, Any]


class Subject(NamedTuple):
    """Whose certificate it is to be: the user, and the user's groups."""

    name: str
    groups: tuple[str, ...]


def subject_of(request: Tree) -> Subject | None:
    """The subject of the request in the object; None where it cannot be read."""
    from bireme.http.x509 import requested_subject

    try:
        pem = base64.b64decode((request.get("spec") or {}).get("request") or "", validate=True)
        return Subject(*requested_subject(pem))
    except (ValueError, binascii.Error):
        return None
