from django.apps import AppConfig


class CueApiConfig(AppConfig):
    name = "cueapi"
    verbose_name = "Accounts"
