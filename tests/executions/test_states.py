"""The life of an execution against contract 4.2, and who may write a status at all."""

import ast
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from executions import outcomes
from executions.states import FAILURE, FINAL, STEPS, WAITING, Status, may_follow

SOURCE = Path(__file__).resolve().parents[2]

CONTRACT = {
    ("pending", "delivering"),
    ("pending", "missed"),
    ("pending", "failed"),
    ("delivering", "success"),
    ("delivering", "failed"),
    ("delivering", "pending_outcome"),
    ("delivering", "retrying"),
    ("delivering", "pending"),
    ("retrying", "retry_ready"),
    ("retry_ready", "delivering"),
    ("retry_ready", "failed"),
    ("pending_outcome", "success"),
    ("pending_outcome", "failed"),
    ("pending_outcome", "outcome_timeout"),
}
OURS = {
    ("retrying", "delivering"),  # retry_ready and delivering in one step
    ("pending", "success"),  # a worker's report after its lease was lost (5.8.2)
    ("retrying", "success"),  # a report while the webhook waits for its next attempt (6.5)
    ("retrying", "failed"),
    ("retry_ready", "success"),
}


@pytest.mark.parametrize(("before", "after"), list(product(Status.values, repeat=2)))
def test_a_step_exists_exactly_where_the_contract_has_it(before: str, after: str) -> None:
    assert may_follow(before, after) == ((before, after) in CONTRACT | OURS)


def test_nothing_follows_a_final_status() -> None:
    assert not set(STEPS) & FINAL
    assert {"success"} == FINAL - FAILURE
    assert not WAITING & FINAL


def test_an_unknown_status_is_an_error_and_not_a_no() -> None:
    with pytest.raises(ValueError, match="resting"):
        may_follow("resting", "success")


# --- Who writes -------------------------------------------------------------------------------------------------

WRITERS = {"update", "create", "get_or_create", "update_or_create", "bulk_update", "defaults"}


def status_writes(tree: ast.AST) -> Iterator[str]:
    """Every place that sets a `status`: an assignment, a constructor, or a queryset's update."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and _assigns_status(node):
            yield ast.unparse(node)
        if isinstance(node, ast.Call) and _sets_status(node):
            yield ast.unparse(node)


def _assigns_status(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(t, ast.Attribute) and t.attr == "status" for top in targets for t in ast.walk(top))


def _sets_status(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if name == "setattr":
        return ast.unparse(call.args[1]) in ("'status'", '"status"')
    writes = name.rpartition(".")[2] in WRITERS or name in ("Execution", "Cue")
    unseen = any(word.arg is None for word in call.keywords) and ("Execution" in name or "Cue" in name)
    return writes and (unseen or any(word.arg == "status" for word in call.keywords))


def modules_that_write_status(app: str) -> set[str]:
    files = [path for path in (SOURCE / app).rglob("*.py") if "migrations" not in path.parts]
    return {str(path.relative_to(SOURCE)) for path in files if any(status_writes(ast.parse(path.read_text())))}


def test_only_the_lifecycle_writes_an_executions_status() -> None:
    assert modules_that_write_status("executions") <= {"executions/lifecycle.py"}
    assert "status" not in outcomes.OUTCOME_COLUMNS


def test_only_the_lifecycle_and_the_patch_of_a_locked_cue_write_a_cues_status() -> None:
    assert modules_that_write_status("cues") == {"cues/lifecycle.py", "cues/definition.py"}


@pytest.mark.parametrize(
    "code",
    [
        "execution.status = Status.FAILED",
        "a, cue.status = 1, 2",
        "Execution.objects.filter(pk=1).update(due_at=None, status='failed')",
        "Execution.objects.filter(pk=1).update(**columns)",
        "Execution(status='failed')",
        "setattr(execution, 'status', 'failed')",
    ],
)
def test_the_scan_sees_each_way_to_write_a_status(code: str) -> None:
    assert list(status_writes(ast.parse(code)))


@pytest.mark.parametrize("code", ["Execution.objects.filter(status='failed')", "execution.status == 'failed'"])
def test_the_scan_leaves_reading_alone(code: str) -> None:
    assert not list(status_writes(ast.parse(code)))
