from django.apps import AppConfig


class ExecutionsConfig(AppConfig):
    name = "executions"

    def ready(self) -> None:
        from executions import lanes, pacing  # noqa: PLC0415  models are not loaded before this moment

        lanes.follow_cues()
        pacing.follow_cues()
