"""Paths under /v1 about executions, and the two of a cue that need them."""

from django.urls import path

from executions.views import (
    alerts,
    cues,
    dead_letters,
    destinations,
    executions,
    ledger,
    outcomes,
    pull,
    usage,
    workers,
)

urlpatterns = [
    path("alerts", alerts.AlertListView.as_view()),
    path("alerts/<str:alert_id>/acknowledge", alerts.AcknowledgeView.as_view()),
    path("cues", cues.CueListView.as_view()),
    path("cues/<str:cue_id>", cues.CueDetailView.as_view()),
    path("cues/<str:cue_id>/explain", ledger.ExplainView.as_view()),
    path("cues/<str:cue_id>/fire", cues.FireView.as_view()),
    path("cues/<str:cue_id>/ledger", ledger.LedgerView.as_view()),
    path("dead-letters", dead_letters.DeadLetterListView.as_view()),
    path("dead-letters/replay", dead_letters.DeadLetterReplayView.as_view()),
    path("destinations", destinations.DestinationListView.as_view()),
    path("destinations/<str:destination_id>", destinations.DestinationView.as_view()),
    path("destinations/<str:destination_id>/open", destinations.OpenView.as_view()),
    path("destinations/<str:destination_id>/close", destinations.CloseView.as_view()),
    path("executions", executions.ExecutionListView.as_view()),
    path("executions/claimable", pull.ClaimableView.as_view()),
    path("executions/claim", pull.ClaimNextView.as_view()),
    path("executions/<str:execution_id>", executions.ExecutionView.as_view()),
    path("executions/<str:execution_id>/claim", pull.ClaimView.as_view()),
    path("executions/<str:execution_id>/heartbeat", pull.HeartbeatView.as_view()),
    path("executions/<str:execution_id>/outcome", outcomes.OutcomeView.as_view()),
    path("executions/<str:execution_id>/evidence", outcomes.EvidenceView.as_view()),
    path("executions/<str:execution_id>/verify", outcomes.VerifyView.as_view()),
    path("executions/<str:execution_id>/verification-pending", outcomes.VerificationPendingView.as_view()),
    path("executions/<str:execution_id>/replay", executions.ReplayView.as_view()),
    path("usage", usage.UsageView.as_view()),
    path("worker/heartbeat", workers.WorkerHeartbeatView.as_view()),
    path("workers", workers.WorkerListView.as_view()),
    path("workers/heartbeat", workers.WorkerHeartbeatAlias.as_view()),
    path("workers/register", workers.WorkerRegisterAlias.as_view()),
    path("workers/<path:worker_id>", workers.WorkerView.as_view()),
]
