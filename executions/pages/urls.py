"""Paths of the user's own pages."""

from django.urls import path

from executions.pages import overview

app_name = "pages"

urlpatterns = [
    path("", overview.overview_page, name="overview"),
]
