"""Paths under /v1 about executions, and the two of a cue that need them."""

from django.urls import path

from executions import views

urlpatterns = [
    path("cues/<str:cue_id>", views.CueDetailView.as_view()),
    path("cues/<str:cue_id>/fire", views.FireView.as_view()),
    path("executions", views.ExecutionListView.as_view()),
    path("executions/<str:execution_id>", views.ExecutionView.as_view()),
    path("executions/<str:execution_id>/outcome", views.OutcomeView.as_view()),
    path("executions/<str:execution_id>/evidence", views.EvidenceView.as_view()),
    path("executions/<str:execution_id>/verify", views.VerifyView.as_view()),
    path("executions/<str:execution_id>/verification-pending", views.VerificationPendingView.as_view()),
    path("executions/<str:execution_id>/replay", views.ReplayView.as_view()),
]
