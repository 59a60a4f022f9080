"""The base of every API view: who is calling, how often, and the headers that say so."""

from functools import partial
from typing import Any, cast

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cueapi import clock, echo_back, idempotency, keys, logging, throttling, trail, usage
from cueapi.errors import ApiError, ConfirmationRequired
from cueapi.models import Account, ActorKind, ApiKey
from cueapi.problems import validation_failed
from cueapi.throttling import Rate


class ApiView(APIView):
    """A view for the holder of a key or a session."""

    rate_limited = True
    echoed_with: str | None = None  # the field without which the body of a call is not echoed back (contract 1.6)
    waits = False  # a POST that waits for something calls `idempotency.once` itself, around what it does in the end
    account: Account | None = None  # whose key the request carries, once that is known

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Whatever was sent is JSON. DRF would read an empty body as an empty form, whose flags are all false."""
        request.META["CONTENT_TYPE"] = "application/json"
        wrapped: Request = super().initialize_request(request, *args, **kwargs)
        echo_back.keep_body(wrapped)
        return wrapped

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Count the request against its key, or against its address when there is no valid key."""
        try:
            self.perform_authentication(request)
        except ApiError:
            self._count(request, f"ip:{throttling.client_address(request)}", throttling.address_limit())
            raise
        if request.auth is not None:
            self.account = account_of(request)
            _note_actor(request, self.account)
            logging.note(account=self.account.pk, cue=kwargs.get("cue_id"), execution=kwargs.get("execution_id"))
            self._count(request, cast(Any, request.auth).limiter_key, self.account.rate_limit_per_minute)
        else:
            self._count(request, f"ip:{throttling.client_address(request)}", throttling.address_limit())
        self.check_permissions(request)
        if request.method == "POST" and not self.waits:
            self._post_once(request)

    def _post_once(self, request: Request) -> None:
        """Let a POST that carries an Idempotency-Key be carried out once."""
        key, account, post = idempotency.key_of(request), self.account, getattr(self, "post", None)
        if key is None or account is None or post is None:
            return

        def once(request: Request, *args: Any, **kwargs: Any) -> Response:
            act = partial(post, request, *args, **kwargs)
            return idempotency.once(request, account, key, act, now=clock.now())

        self.post: Any = once  # where dispatch finds its handler

    def _count(self, request: Request, who: str, limit: int) -> None:
        if not self.rate_limited:
            return
        now = clock.now()
        rate = throttling.hit(who, limit, now=now)
        request.rate = rate  # type: ignore[attr-defined]
        if not rate.allowed:
            raise throttling.refuse(rate, now=now)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        final: Response = super().finalize_response(request, response, *args, **kwargs)
        rate: Rate | None = getattr(request, "rate", None)
        for name, value in (rate.headers() if rate else {}).items():
            final.headers.setdefault(name, value)
        if self.account and usage.is_near_limit(self.account, now=clock.now()):
            final.headers["X-CueAPI-Usage-Warning"] = "approaching_limit"
        echo_back.add(request, final, only_with=self.echoed_with)
        return final

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """JSON, whatever the Accept header says; a client that cannot read it gets it all the same."""
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type


def _note_actor(request: Request, account: Account) -> None:
    """Tell the audit trail who calls."""
    if isinstance(request.auth, ApiKey):
        trail.note_key(request.auth)
    else:
        trail.note(ActorKind.SESSION, account.email)


class PublicView(ApiView):
    """A view that anyone may call."""

    authentication_classes = ()
    permission_classes = ()


class UnlimitedView(PublicView):
    """A public view that is not counted either."""

    rate_limited = False


def account_of(request: Request) -> Account:
    """The caller's account, in views that need a key."""
    return cast(Account, request.user)


def key_of(request: Request) -> ApiKey | None:
    """The key of this call; of a session's, the account's default key, if it has a live one."""
    return request.auth if isinstance(request.auth, ApiKey) else keys.default_of(account_of(request))


def header_text(request: Request, name: str) -> str | None:
    """The header's text: UTF-8, as clients send it, where it is that; the server in front hands it on as Latin-1."""
    text = request.headers.get(name)
    try:
        return text.encode("latin-1").decode() if text is not None else None
    except UnicodeError:
        return text


def checked(serializer: Any) -> dict[str, Any]:
    """The serializer's data. Raises ValidationFailed with every field that is wrong."""
    if not serializer.is_valid():
        raise validation_failed(serializer.errors)
    data: dict[str, Any] = serializer.validated_data
    return data


def require_confirmation(request: Request) -> None:
    """Raises ConfirmationRequired unless the caller sent X-Confirm-Destructive: true."""
    if request.headers.get("X-Confirm-Destructive", "").strip().lower() != "true":
        raise ConfirmationRequired()
