"""Doors: what is said of an execution: outcome, evidence, verification (contract 5.8 to 5.11)."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock
from cueapi.api import ApiView, account_of, checked, header_text
from cueapi.ids import parse_execution_id
from cueapi.openapi import leads_to, refuses
from executions import outcomes, report_links
from executions.authentication import ReportLinkAuthentication
from executions.serializers import outcomes as shapes


class OutcomeView(ApiView):
    """The holder of the execution's outcome link may report too."""

    authentication_classes = (ReportLinkAuthentication, *ApiView.authentication_classes)
    link_purpose = report_links.OUTCOME

    @refuses(
        "400 metadata_too_large",
        "401 invalid_token",
        "403 not_execution_owner",
        "404 execution_not_found",
        "409 outcome_already_recorded",
    )
    @leads_to("add_evidence", "verify_outcome", "await_verification", "replay_execution", execution_id="execution_id")
    @extend_schema(
        operation_id="report_outcome",
        request=shapes.OutcomeIn,
        responses={200: shapes.OutcomeRecorded},
        summary="Report what came of the work, once",
    )
    def post(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        data = checked(shapes.OutcomeIn(data=request.data))
        execution = outcomes.report(
            account_of(request), execution.pk, data, worker_id=header_text(request, "X-Worker-Id"), now=clock.now()
        )
        return Response(
            {
                "execution_id": str(execution.pk),
                "outcome_recorded": True,
                "outcome_state": execution.outcome_state,
                "reason": None,
            }
        )


class EvidenceView(ApiView):
    @refuses("400 metadata_too_large", "404 execution_not_found", "409 no_outcome")
    @extend_schema(
        operation_id="add_evidence",
        request=shapes.EvidenceIn,
        responses={200: shapes.EvidenceUpdated},
        summary="Add evidence to an outcome",
    )
    def patch(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        data = checked(shapes.EvidenceIn(data=request.data))
        execution = outcomes.add_evidence(account_of(request), execution.pk, data, now=clock.now())
        return Response(
            {
                "execution_id": str(execution.pk),
                "outcome_state": execution.outcome_state,
                "evidence_updated": True,
            }
        )


class VerifyView(ApiView):
    @refuses("404 execution_not_found", "409 invalid_state")
    @extend_schema(
        operation_id="verify_outcome",
        request=shapes.VerifyIn,
        responses={200: shapes.Verified},
        summary="Accept or reject an outcome",
    )
    def post(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        data = checked(shapes.VerifyIn(data=request.data))
        valid, reason = data.get("valid", True), data.get("reason")
        execution = outcomes.verify(account_of(request), execution.pk, valid=valid, reason=reason, now=clock.now())
        return Response(
            {
                "execution_id": str(execution.pk),
                "outcome_state": execution.outcome_state,
                "valid": valid,
                "reason": reason,
            }
        )


class VerificationPendingView(ApiView):
    @refuses("404 execution_not_found", "409 no_outcome")
    @extend_schema(
        operation_id="await_verification",
        request=None,
        responses={200: shapes.VerificationAwaited},
        summary="Put an outcome before a person",
    )
    def post(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        execution = outcomes.await_verification(account_of(request), execution.pk, now=clock.now())
        return Response({"execution_id": str(execution.pk), "outcome_state": execution.outcome_state})
