"""Background jobs about accounts."""

from celery import shared_task

from cueapi import mail
from cueapi.models import Account
from cueapi.vault import unseal


@shared_task(name="cueapi.send_notice", autoretry_for=(OSError,), retry_backoff=5, max_retries=5)
def send_notice(notice: str, account_id: str, at: str) -> None:
    account = Account.objects.filter(pk=account_id).first()
    if account is not None:
        mail.send_notice(notice, account, at)


@shared_task(name="cueapi.send_link", autoretry_for=(OSError,), retry_backoff=5, max_retries=5)
def send_link(email: str, code: str, sealed_link: str) -> None:
    mail.send_link(email, code, unseal(sealed_link))
