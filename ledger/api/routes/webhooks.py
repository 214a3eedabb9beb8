"""Webhooks: who is told of events over HTTP, how far, and with which secret messages are signed."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import show
from ledger.api.calls import ask, perform
from ledger.api.openapi import a_router, reading, recording
from ledger.api.parameters import MinPosition, WebhookId
from ledger.api.schemas.webhooks import NewWebhook, SecretRotation, WebhookRemoval, WebhookResumption
from ledger.application.record.webhooks import RegisterWebhook, RemoveWebhook, ResumeWebhook, RotateWebhookSecret
from ledger.application.webhooks.shown import list_webhooks, read_webhook_secret

router = a_router("webhooks")


@router.post("/v1/webhooks", **recording("registerWebhook", "Зарегистрировать вебхук / Register a webhook", NewWebhook))
async def register_webhook(request: Request) -> Response:
    """Сообщать о событиях по адресу / Tells an address of events: headers, in order, signed (Standard Webhooks)."""
    return await perform(request, RegisterWebhook)


@router.get("/v1/webhooks", **reading("readWebhooks", "Вебхуки и их состояние / Webhooks and their state", "Webhooks"))
async def get_webhooks(request: Request, min_position: MinPosition = 0) -> Response:
    """Вебхуки, докуда дошёл каждый и что мешает / Webhooks, how far each one is and what stops it; never behind."""
    del min_position
    call = ask(request)
    return show(await list_webhooks(call.ledger, call.reader))


@router.get(
    "/v1/webhooks/{webhook_id}/secret", **reading("readWebhookSecret", "Секрет подписи / The secret", "WebhookSecret")
)
async def get_secret(request: Request, webhook_id: WebhookId, min_position: MinPosition = 0) -> Response:
    """Секрет, которым подписаны сообщения / What messages are signed with, for who may register webhooks."""
    del min_position
    call = ask(request)
    return show(await read_webhook_secret(call.ledger, call.reader, webhook_id))


@router.post(
    "/v1/webhooks/{webhook_id}/secrets",
    **recording("rotateWebhookSecret", "Сменить секрет / Rotate the secret", SecretRotation),
)
async def rotate_secret(request: Request, webhook_id: WebhookId) -> Response:
    """Новый секрет; прежний действует ещё сутки / A new secret; messages bear both signatures for a day."""
    return await perform(request, RotateWebhookSecret, webhook_id)


@router.post(
    "/v1/webhooks/{webhook_id}/resumptions",
    **recording("resumeWebhook", "Попробовать снова / Try again", WebhookResumption),
)
async def resume_webhook(request: Request, webhook_id: WebhookId) -> Response:
    """Продолжить с того же места / Goes on at once where it stopped, also after it was given up."""
    return await perform(request, ResumeWebhook, webhook_id)


@router.post(
    "/v1/webhooks/{webhook_id}/removals", **recording("removeWebhook", "Удалить вебхук / Remove", WebhookRemoval)
)
async def remove_webhook(request: Request, webhook_id: WebhookId) -> Response:
    """Больше не сообщать / Tells nobody through it any more; that it was there stays in the history."""
    return await perform(request, RemoveWebhook, webhook_id)
