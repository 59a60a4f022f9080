"""Paths under /v1 about executions, and the two of a cue that need them."""

from django.urls import path

from executions.views import cues, executions, outcomes

urlpatterns = [
    path("cues/<str:cue_id>", cues.CueDetailView.as_view()),
    path("cues/<str:cue_id>/fire", cues.FireView.as_view()),
    path("executions", executions.ExecutionListView.as_view()),
    path("executions/<str:execution_id>", executions.ExecutionView.as_view()),
    path("executions/<str:execution_id>/outcome", outcomes.OutcomeView.as_view()),
    path("executions/<str:execution_id>/evidence", outcomes.EvidenceView.as_view()),
    path("executions/<str:execution_id>/verify", outcomes.VerifyView.as_view()),
    path("executions/<str:execution_id>/verification-pending", outcomes.VerificationPendingView.as_view()),
    path("executions/<str:execution_id>/replay", executions.ReplayView.as_view()),
]
