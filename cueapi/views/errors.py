"""Doors: the page that lists every error, its meaning and its remedy. Problem documents point to it."""

import json

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cueapi import lessons


@require_safe
def errors_page(request: HttpRequest) -> HttpResponse:
    rows = [
        {"code": code, "lesson": lesson, "example": _shown(lesson.example)}
        for code, lesson in sorted(lessons.LESSONS.items())
    ]
    return render(request, "cueapi/errors.html", {"rows": rows})


def _shown(example: object) -> str:
    return example if isinstance(example, str) else json.dumps(example) if example is not None else ""
