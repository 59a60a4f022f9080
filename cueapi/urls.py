"""Paths under /v1 that the floor serves: accounts, keys, secrets, and what the server is."""

from django.urls import path

from cueapi import views

urlpatterns = [
    path("info", views.InfoView.as_view()),
    path("auth/register", views.RegisterView.as_view()),
    path("auth/key", views.KeyView.as_view()),
    path("auth/key/regenerate", views.KeyRegenerateView.as_view()),
    path("auth/webhook-secret", views.WebhookSecretView.as_view()),
    path("auth/webhook-secret/regenerate", views.WebhookSecretRegenerateView.as_view()),
    path("auth/alert-webhook-secret", views.AlertSecretView.as_view()),
    path("auth/alert-webhook-secret/regenerate", views.AlertSecretRegenerateView.as_view()),
]
