"""Paths under /v1 that this app serves alone."""

from django.urls import path

from cues import views

urlpatterns = [
    path("auth/me", views.MeView.as_view()),
    path("cues/bulk-delete", views.BulkDeleteView.as_view()),
    path("cues/<str:cue_id>/pause", views.CuePauseView.as_view()),
    path("cues/<str:cue_id>/preview", views.CuePreviewView.as_view()),
    path("cues/<str:cue_id>/resume", views.CueResumeView.as_view()),
    path("schedules/preview", views.SchedulePreviewView.as_view()),
]
