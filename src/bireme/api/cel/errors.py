"""What can go wrong with an expression: it doesn't compile, or evaluating it fails."""


class CelError(Exception):
    """An expression that doesn't compile or can't be evaluated; the text is for users."""


class TooLong(Exception):
    """An evaluation that would hold up everybody else; do it again where nobody waits for it."""


class CostExceeded(CelError):
    """Evaluation took more than its budget. Unlike other failures, `&&` and `||` don't swallow it."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")
