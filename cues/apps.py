from django.apps import AppConfig


class CuesConfig(AppConfig):
    name = "cues"

    def ready(self) -> None:
        from cues import beat, lifecycle  # noqa: PLC0415  models are not loaded before this moment

        beat.on_switched(lifecycle.follow_switch)
        beat.discard_with_cue()
