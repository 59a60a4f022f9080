"""Paths of the user's own pages."""

from django.urls import path

from executions.pages import (
    alerts,
    audit,
    cues,
    dead_letters,
    destinations,
    execution,
    executions,
    overview,
    usage,
    workers,
)

app_name = "pages"

urlpatterns = [
    path("", overview.overview_page, name="overview"),
    path("live", executions.live, name="live"),
    path("executions", executions.executions_page, name="executions"),
    path("executions/rows", executions.execution_rows, name="execution-rows"),
    path("executions/<uuid:execution_id>", execution.execution_page, name="execution"),
    path("executions/<uuid:execution_id>/part", execution.execution_part, name="execution-part"),
    path("executions/<uuid:execution_id>/replay", execution.replay, name="replay"),
    path("executions/<uuid:execution_id>/handled", execution.handle, name="handle"),
    path("executions/<uuid:execution_id>/verdict", execution.verify, name="verify"),
    path("cues", cues.cues_page, name="cues"),
    path("cues/<str:cue_id>", cues.cue_page, name="cue"),
    path("cues/<str:cue_id>/fire", cues.fire_cue, name="fire-cue"),
    path("cues/<str:cue_id>/pause", cues.pause_cue, name="pause-cue"),
    path("cues/<str:cue_id>/resume", cues.resume_cue, name="resume-cue"),
    path("dead-letters", dead_letters.dead_letters_page, name="dead-letters"),
    path("dead-letters/replay", dead_letters.replay_page, name="replay-dead-letters"),
    path("destinations", destinations.destinations_page, name="destinations"),
    path("destinations/<str:destination_id>/open", destinations.open_destination, name="open-destination"),
    path("destinations/<str:destination_id>/close", destinations.close_destination, name="close-destination"),
    path("destinations/<str:destination_id>/rate", destinations.set_rate, name="rate-destination"),
    path("workers", workers.workers_page, name="workers"),
    path("workers/forget", workers.forget_worker, name="forget-worker"),
    path("alerts", alerts.alerts_page, name="alerts"),
    path("alerts/acknowledge", alerts.acknowledge, name="acknowledge"),
    path("audit", audit.audit_page, name="audit"),
    path("usage", usage.usage_page, name="usage"),
]
