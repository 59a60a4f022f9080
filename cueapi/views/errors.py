"""Doors: the page that lists every error, its meaning and its remedy. Problem documents point to it."""

import json

from django.http import HttpResponse
from django.template.loader import render_to_string
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from cueapi import lessons
from cueapi.api import UnlimitedView


class ErrorsPageView(UnlimitedView):
    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        rows = [
            {"code": code, "lesson": lesson, "example": _shown(lesson.example)}
            for code, lesson in sorted(lessons.LESSONS.items())
        ]
        return HttpResponse(render_to_string("cueapi/errors.html", {"rows": rows}))


def _shown(example: object) -> str:
    return example if isinstance(example, str) else json.dumps(example) if example is not None else ""
