"""The feed: every event in order, page by page, waiting, or as a stream; in JSON or as CloudEvents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask, broken_cursor
from ledger.api.negotiation import accepted
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import Cursor as FeedCursor
from ledger.api.parameters import (
    FeedAfter,
    FeedLimit,
    FeedUntil,
    LastEventId,
    MinPosition,
    Payload,
    SubjectFilter,
    TopicPrefix,
    Wait,
)
from ledger.api.problems import BadRequest
from ledger.api.service import service_of, without_time_limit
from ledger.api.stream import MEDIA_TYPE as STREAM
from ledger.api.stream import PAGE, EventStream
from ledger.application.disclose.cloudevents import BATCH, EVENT, cloud_event, source_of
from ledger.application.disclose.feed import FeedQuery, await_feed, cursor_of

if TYPE_CHECKING:
    from ledger.application.disclose.feed import EventHeader, FeedPage

JSON = "application/json"
OFFERED = (JSON, STREAM, BATCH, EVENT)

router = a_router("feed")

_described = reading("readFeed", "Лента событий / The feed", "Feed", "FeedOpened")
_EVENT_SCHEMA: dict[str, Any] = {"$ref": "#/components/schemas/CloudEvent"}
_described["responses"][200]["content"] |= {
    BATCH: {"schema": {"type": "array", "items": _EVENT_SCHEMA}},
    EVENT: {"schema": _EVENT_SCHEMA},
    STREAM: {"schema": {"type": "string", "description": "Server-sent events; each `data` is a CloudEvent."}},
}
_described["responses"] |= {
    204: {"description": "Нового нет / One CloudEvent was asked for, and there is none."},
    406: {"$ref": "#/components/responses/406"},
    409: {"$ref": "#/components/responses/409"},
}


@router.get("/v1/events", **_described)
async def get_events(
    request: Request,
    after: FeedAfter = None,
    until: FeedUntil = None,
    cursor: FeedCursor = None,
    limit: FeedLimit = PAGE,
    payload: Payload = False,  # noqa: FBT002 - a query parameter
    topic: TopicPrefix = None,
    subject: SubjectFilter = None,
    wait: Wait = 0,
    min_position: MinPosition = 0,
    last_event_id: LastEventId = None,
) -> Response:
    """Все события по порядку, без пропусков / Every event in order, without gaps.

    Headers for systems, auditors, the director and deputy heads; `payload=true` also opens the states and is disclosed
    to every student on the page. Follow with `next` to the end of the paging, then with `after=<seen>`. The feed is
    never behind, so `min_position` is taken and has no effect.
    """
    del min_position
    call = ask(request)
    media = accepted(request, OFFERED)
    query = FeedQuery(after or 0, until, limit, payload, topic, subject)
    if cursor is not None:
        query = _continued(query, cursor, exclusive=after is not None or until is not None)
    if media == EVENT:
        query = replace(query, limit=1)
    if media == STREAM:
        return await _stream(request, query, last_event_id)
    patience = min(wait, call.ledger.settings.request_seconds / 2)
    page = await await_feed(call.ledger, call.reader, query, patience)
    if media == JSON:
        return show(page)
    return _enveloped(page, source_of(call.ledger.id), media)


def _continued(query: FeedQuery, cursor: str, *, exclusive: bool) -> FeedQuery:
    found = cursor_of(cursor)
    if found is None:
        raise broken_cursor()
    if exclusive:
        raise BadRequest(
            "cursor", "The cursor says where the page begins and ends.", help="Leave out `after` and `until`."
        )
    return replace(query, after=found[0], until=found[1])


async def _stream(request: Request, query: FeedQuery, last_event_id: str | None) -> Response:
    if query.until is not None:
        raise BadRequest("stream", "A stream has no end to fix.", help="Leave out `until` and `cursor`.")
    if last_event_id is not None:
        found = cursor_of(f"{last_event_id}-0")
        if found is None:
            raise BadRequest(
                "last-event-id", "The Last-Event-ID is no position.", help="Send the last `id` as it came."
            )
        query = replace(query, after=found[0])
    call, streams = ask(request), service_of(request).streams
    streams.check(call.reader.actor.id)
    query = replace(query, limit=PAGE)
    first = await await_feed(call.ledger, call.reader, query, 0)
    without_time_limit(request)
    return EventStream(streams, call.ledger, call.reader, query, first)


def _enveloped(page: FeedPage[EventHeader], source: str, media: str) -> Response:
    headers = {"Ledger-Seen": str(page.seen), "Ledger-Until": str(page.until)}
    if page.next is not None:
        headers["Ledger-Next"] = page.next
    events = [cloud_event(source, item) for item in page.items]
    if media == BATCH:
        return Response(msgspec.json.encode(events), headers=headers, media_type=BATCH)
    if not events:
        return Response(status_code=204, headers=headers)
    return Response(msgspec.json.encode(events[0]), headers=headers, media_type=EVENT)
