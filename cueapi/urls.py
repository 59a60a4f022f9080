"""Paths under /v1 that the floor serves: accounts, keys, secrets, and what the server is."""

from django.urls import path

from cueapi.views import account, service

urlpatterns = [
    path("info", service.InfoView.as_view()),
    path("auth/register", account.RegisterView.as_view()),
    path("auth/key", account.KeyView.as_view()),
    path("auth/key/regenerate", account.KeyRegenerateView.as_view()),
    path("auth/webhook-secret", account.WebhookSecretView.as_view()),
    path("auth/webhook-secret/regenerate", account.WebhookSecretRegenerateView.as_view()),
    path("auth/alert-webhook-secret", account.AlertSecretView.as_view()),
    path("auth/alert-webhook-secret/regenerate", account.AlertSecretRegenerateView.as_view()),
]
