"""The composition root: every path of the server."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

from cueapi.views.errors import ErrorsPageView
from cueapi.views.login import DevicePageView
from cueapi.views.service import StatusView
from executions.views.service import HealthView, MetricsView

urlpatterns = [
    path("", include("executions.pages.urls")),
    path("", include("cueapi.page_urls")),
    path("health", HealthView.as_view()),
    path("metrics", MetricsView.as_view()),
    path("status", StatusView.as_view()),
    path("auth/device", DevicePageView.as_view()),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="openapi"), name="docs"),
    path("docs/errors", ErrorsPageView.as_view()),
    path("v1/openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("v1/", include("cueapi.urls")),
    path("v1/", include("cues.urls")),
    path("v1/", include("executions.urls")),
    path("admin/", admin.site.urls),
    path("admin", RedirectView.as_view(url="/admin/")),
]

handler400 = "cueapi.problems.bad_request"
handler403 = "cueapi.problems.forbidden"
handler404 = "cueapi.pages.not_found"
handler500 = "cueapi.problems.server_error"
