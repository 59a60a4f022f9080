"""Doors: an account's keys beside the one it was registered with (contract 2.2, named keys)."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock, keys, serializers, throttling
from cueapi.api import ApiView, account_of, checked, require_confirmation
from cueapi.models import ApiKey
from cueapi.openapi import leads_to, refuses
from cueapi.throttling import HOUR_S, Quota

CREATED = Quota("named-key", limit=10, window_s=HOUR_S)  # for one account


class KeysView(ApiView):
    @extend_schema(operation_id="list_keys", responses={200: serializers.KeysAnswer}, summary="Your keys")
    def get(self, request: Request) -> Response:
        now = clock.now()
        found = keys.listed(account_of(request), now=now)
        rows = [
            {
                **_named(key),
                "created_by": key.created_by,
                "last_used_at": clock.rfc3339(key.last_used_at),
                "revoked_at": clock.rfc3339(keys.ended_at(key, now=now)),
            }
            for key in found
        ]
        return Response({"keys": rows})

    @leads_to("rename_key", "revoke_key", key_id="id")
    @extend_schema(
        operation_id="create_key",
        request=serializers.KeyLabel,
        responses={201: serializers.KeyCreatedAnswer},
        summary="Make another key; its text is shown here and never again",
    )
    def post(self, request: Request) -> Response:
        account, now = account_of(request), clock.now()
        label = checked(serializers.KeyLabel(data=request.data))["label"]
        throttling.take(CREATED, str(account.pk), now=now)
        key, plaintext = keys.issue(account, label=label, created_by=keys.MADE_BY_USER, now=now)
        return Response({**_named(key), "api_key": plaintext}, status=201)


class NamedKeyView(ApiView):
    @extend_schema(
        operation_id="rename_key",
        request=serializers.KeyLabel,
        responses={200: serializers.KeyRenamedAnswer},
        summary="Give a key another label",
    )
    def patch(self, request: Request, key_id: str) -> Response:
        label = checked(serializers.KeyLabel(data=request.data))["label"]
        key = keys.rename(account_of(request), key_id, label, now=clock.now())
        return Response({"id": str(key.pk), "label": key.label})

    @refuses("400 confirmation_required", "409 last_key_protected")
    @extend_schema(
        operation_id="revoke_key",
        responses={200: serializers.KeyRevokedAnswer},
        summary="Revoke a key at once (needs X-Confirm-Destructive: true)",
    )
    def delete(self, request: Request, key_id: str) -> Response:
        require_confirmation(request)
        revoked_at = keys.revoke(account_of(request), key_id, now=clock.now())
        return Response({"id": key_id, "revoked_at": clock.rfc3339(revoked_at)})


def _named(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.pk),
        "prefix": key.prefix,
        "label": key.label,
        "created_at": clock.rfc3339(key.created_at),
    }
