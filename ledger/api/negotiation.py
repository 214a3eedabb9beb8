"""Which media type a client wants (RFC 9110, 12.5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.api.problems import NotAcceptable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request


def accepted(request: Request, offered: Sequence[str]) -> str:
    """Returns the offered media type that the client prefers; the first of them where it does not mind.

    Raises:
        NotAcceptable: it takes none of them.
    """
    wanted = _weights(",".join(request.headers.getlist("accept")))
    if not wanted:
        return offered[0]
    weighed = [(_weight(wanted, media), -place) for place, media in enumerate(offered)]
    weight, place = max(weighed)
    if weight <= 0:
        raise NotAcceptable("The answer exists in none of these media types.", help=f"Accept {', '.join(offered)}.")
    return offered[-place]


def _weights(header: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in header.lower().split(","):
        media, *parameters = (word.strip() for word in part.split(";"))
        if not media:
            continue
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        found[media] = weight
    return found


def _weight(wanted: dict[str, float], media: str) -> float:
    """Returns the weight of the most specific range that fits."""
    for form in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if form in wanted:
            return wanted[form]
    return 0.0
