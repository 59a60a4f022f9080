"""`manage.py article`: the article's printed commands work with nothing put in their place but the host."""

from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from cueapi.models import ApiKey
from tests.support import curl
from tests.support.api import Api
from tests.support.article import KEY, PROCESS_INQUIRY, REPORT_SUCCESS
from tests.support.envelope import refused

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def send(command: str) -> Any:
    call = curl.parse(command)
    return Api(None).send(call.method, call.path, call.body, **dict(call.headers))


def test_the_printed_outcome_is_recorded_again_after_each_load() -> None:
    for _ in range(2):
        call_command("article", verbosity=0)
        assert send(REPORT_SUCCESS).status_code == 200
        refused(send(REPORT_SUCCESS), 409, "outcome_already_recorded")
    assert send(PROCESS_INQUIRY).status_code == 201


def test_a_revoked_article_key_comes_back() -> None:
    call_command("article", verbosity=0)
    ApiKey.objects.update(revoked_at="2031-01-01T00:00:00Z")
    call_command("article", verbosity=0)
    assert Api(KEY).get("/v1/auth/me").status_code == 200


def test_a_server_in_production_has_no_key_that_everybody_knows(settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"env": "production"})
    with pytest.raises(CommandError, match="development only"):
        call_command("article")
    assert not ApiKey.objects.exists()


def test_others_cannot_tell_the_article_s_execution_from_a_missing_one(stranger: Api) -> None:
    call_command("article", verbosity=0)
    refused(stranger.get("/v1/executions/exec_123"), 404, "execution_not_found")
