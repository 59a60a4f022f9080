"""What each plan allows (contract 8.2). Accounts copy these into columns, so an operator may change one account."""

from dataclasses import dataclass

from cueapi.conf import PlanName, conf

NO_LIMIT = 1_000_000_000


@dataclass(frozen=True)
class Plan:
    active_cues: int
    executions_per_month: int
    requests_per_minute: int


PLANS: dict[PlanName, Plan] = {
    "unlimited": Plan(1_000_000, NO_LIMIT, 6_000),
    "free": Plan(10, 300, 60),
    "pro": Plan(100, 5_000, 200),
    "scale": Plan(500, 50_000, 500),
}


def limits_of_new_account() -> dict[str, str | int]:
    """The plan columns of an account made now, from DEFAULT_PLAN and DEFAULT_MONTHLY_EXECUTION_LIMIT."""
    plan = PLANS[conf().default_plan]
    monthly = conf().default_monthly_execution_limit
    if monthly is None:
        monthly = plan.executions_per_month
    return {
        "plan": conf().default_plan,
        "active_cue_limit": plan.active_cues,
        "monthly_execution_limit": monthly or NO_LIMIT,
        "rate_limit_per_minute": plan.requests_per_minute,
    }
