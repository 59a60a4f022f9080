"""Paths under /v1 that the floor serves: accounts, keys, secrets, login, the echo, and what the server is."""

from django.urls import path

from cueapi.views import account, audit_events, echo, keys, login, service

urlpatterns = [
    path("info", service.InfoView.as_view()),
    path("auth/register", account.RegisterView.as_view()),
    path("auth/key", account.KeyView.as_view()),
    path("auth/key/regenerate", account.KeyRegenerateView.as_view()),
    path("auth/keys", keys.KeysView.as_view()),
    path("auth/keys/<str:key_id>", keys.NamedKeyView.as_view()),
    path("auth/webhook-secret", account.WebhookSecretView.as_view()),
    path("auth/webhook-secret/regenerate", account.WebhookSecretRegenerateView.as_view()),
    path("auth/alert-webhook-secret", account.AlertSecretView.as_view()),
    path("auth/alert-webhook-secret/regenerate", account.AlertSecretRegenerateView.as_view()),
    path("auth/device-code", login.DeviceCodeView.as_view()),
    path("auth/device-code/poll", login.DevicePollView.as_view()),
    path("auth/device-code/submit-email", login.DeviceEmailView.as_view()),
    path("auth/verify", login.VerifyView.as_view()),
    path("auth/session", login.SessionView.as_view()),
    path("auth/session/refresh", login.SessionRefreshView.as_view()),
    path("audit-events", audit_events.AuditEventsView.as_view()),
    path("audit-events/<str:event_id>", audit_events.AuditEventView.as_view()),
    path("echo/<str:token>", echo.EchoView.as_view()),
]
