"""Door: the first page, which answers whether all is well."""

from django.http import HttpRequest, HttpResponse

from cueapi.pages import page, signed_in


@signed_in
def overview_page(request: HttpRequest) -> HttpResponse:
    return page(request, "executions/pages/overview.html")
