"""Paths of the pages that the floor serves: signing in and out, keys, settings."""

from django.urls import path

from cueapi.views import key_pages, settings_pages, sign_in

urlpatterns = [
    path("login", sign_in.sign_in_page, name="sign-in"),
    path("login/link", sign_in.link_page, name="sign-in-link"),
    path("logout", sign_in.sign_out, name="sign-out"),
    path("keys", key_pages.keys_page, name="keys"),
    path("keys/<str:key_id>/rename", key_pages.rename_key, name="rename-key"),
    path("keys/<str:key_id>/revoke", key_pages.revoke_key, name="revoke-key"),
    path("settings", settings_pages.settings_page, name="settings"),
    path("settings/save", settings_pages.save_settings, name="save-settings"),
    path("settings/secret/<str:which>/show", settings_pages.show_secret, name="show-secret"),
    path("settings/secret/<str:which>/replace", settings_pages.replace_secret, name="replace-secret"),
]
