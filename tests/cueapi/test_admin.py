"""The admin's pages of accounts and keys: signing in, passwords, limits, revoking."""

from typing import Any

import pytest
from django.test import Client

from cueapi.models import Account, ApiKey
from tests.support.admin import PASSWORD, Admin, list_url, page_url, staff, superuser
from tests.support.api import Api

pytestmark = pytest.mark.django_db

NEW = "another horse entirely"


@pytest.fixture
def root(db: None) -> Admin:
    return superuser("Root@example.org")


def sign_in(email: str, password: str) -> Any:
    return Client().post("/admin/login/?next=/admin/", {"username": email, "password": password})


def form_of(account: Account, **changes: str) -> dict[str, str]:
    unchanged = {
        "email": account.email,
        "is_active": "on",
        "plan": account.plan,
        "active_cue_limit": str(account.active_cue_limit),
        "monthly_execution_limit": str(account.monthly_execution_limit),
        "rate_limit_per_minute": str(account.rate_limit_per_minute),
    }
    return unchanged | changes


def test_staff_sign_in_with_their_address_in_any_case(root: Admin) -> None:
    answer = sign_in("rOOt@Example.org", PASSWORD)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")


def test_a_customer_cannot_sign_in(root: Admin, api: Api) -> None:
    assert api.account
    api.account.set_password(PASSWORD)
    api.account.save()
    assert sign_in("ada@example.org", PASSWORD).status_code == 200  # the form again


def test_the_signed_in_change_their_own_password(root: Admin) -> None:
    data = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    assert root.client.post("/admin/password_change/", data).status_code == 302
    assert sign_in("root@example.org", PASSWORD).status_code == 200
    assert sign_in("root@example.org", NEW).status_code == 302


def test_a_superuser_sets_the_password_of_another(root: Admin) -> None:
    helper = staff()
    url = page_url(helper.account).replace("change/", "password/")
    assert url in root.text(page_url(helper.account))
    assert root.client.post(url, {"password1": NEW, "password2": NEW}).status_code == 302
    assert sign_in("helper@example.org", NEW).status_code == 302


def test_a_superuser_changes_limits_and_nothing_secret(root: Admin, api: Api) -> None:
    account = Account.objects.get(email="ada@example.org")
    changes = {"active_cue_limit": "3", "plan": "pro", "webhook_secret": "mine", "alert_webhook_url": "http://10.0.0.1"}
    answer = root.client.post(page_url(account), form_of(account, **changes))
    assert answer.status_code == 302
    after = Account.objects.get(pk=account.pk)
    assert (after.active_cue_limit, after.plan) == (3, "pro")
    assert (after.webhook_secret, after.alert_webhook_url) == (account.webhook_secret, "")
    assert not after.is_staff


def test_an_address_that_is_taken_in_another_case_is_refused(root: Admin, api: Api) -> None:
    account = Account.objects.get(email="ada@example.org")
    answer = root.client.post(page_url(account), form_of(account, email="ROOT@example.org"))
    assert answer.status_code == 200
    assert Account.objects.get(pk=account.pk).email == "ada@example.org"


def test_an_account_made_inactive_loses_the_api(root: Admin, api: Api) -> None:
    account = Account.objects.get(email="ada@example.org")
    form = form_of(account)
    del form["is_active"]
    root.client.post(page_url(account), form)
    assert api.get("/v1/cues").status_code == 401


def test_only_superusers_change_accounts(root: Admin, api: Api) -> None:
    helper = staff("view_account", "change_account")
    own = page_url(helper.account)
    assert helper.client.get(own).status_code == 200
    assert helper.client.post(own, form_of(helper.account, is_superuser="on")).status_code == 403
    password = page_url(root.account).replace("change/", "password/")
    assert helper.client.post(password, {"password1": NEW, "password2": NEW}).status_code == 403
    assert not Account.objects.get(pk=helper.account.pk).is_superuser


def test_accounts_are_found_by_address_and_show_their_keys(root: Admin, api: Api, stranger: Api) -> None:
    found = root.client.get(list_url(Account), {"q": "mallory"}).context["cl"].result_list
    assert [account.email for account in found] == ["mallory@example.org"]
    assert api.key
    page = root.text(page_url(Account.objects.get(email="ada@example.org")))
    assert api.key[:12] in page
    assert api.key not in page


def test_a_revoked_key_no_longer_opens_the_api(root: Admin, api: Api) -> None:
    key = ApiKey.objects.get()
    assert api.get("/v1/cues").status_code == 200
    assert "Keys revoked: 1." in root.act("revoke", key)
    assert api.get("/v1/cues").json()["error"]["code"] == "key_revoked"
    assert "Keys revoked: 0." in root.act("revoke", key)


def test_neither_accounts_nor_keys_are_made_or_deleted_here(root: Admin, api: Api) -> None:
    for row in (Account.objects.get(email="ada@example.org"), ApiKey.objects.get()):
        assert root.client.get(f"{list_url(type(row))}add/").status_code == 403
        assert root.client.post(page_url(row).replace("change/", "delete/"), {"post": "yes"}).status_code == 403
    assert api.get("/v1/cues").status_code == 200
