"""The automation that closes runs whose process is gone, and the limit `gpu`: `make deploy` registers both.

Once more changes nothing, and the number of the limit's slots stays what somebody has set.
"""

from contextlib import suppress

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import StateType

from tasks.gpu_slot import LIMIT

NAME = "pricing: close runs without a heartbeat"
HEARTBEAT = "prefect.flow-run.heartbeat"
ENDS = ("Completed", "Failed", "Cancelled", "Crashed")
FLOWS = ("pricing", "pricing-sample", "pricing-stage", "pricing-score", "pricing-reprice")
SILENCE_SECONDS = 120
"""Seconds without a heartbeat; one is sent every 30 s (PREFECT_FLOWS_HEARTBEAT_FREQUENCY in prefect.yaml)."""


def dead_runs(seconds: int = SILENCE_SECONDS) -> AutomationCore:
    """An automation that marks a run of this project as crashed when its heartbeat stops.

    A worker that is stopped in mid-run cannot say so: the run would stay Running, hold its slot, and refuse a retry.

    Parameters
    ----------
    seconds : int
        Silence after the last heartbeat, at least 10.
    """
    trigger = EventTrigger(
        posture=Posture.Proactive,
        within=seconds,
        threshold=1,
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=ResourceSpecification(
            {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}
        ),
        for_each={"prefect.resource.id"},
        after={HEARTBEAT},
        expect={HEARTBEAT, *(f"prefect.flow-run.{end}" for end in ENDS)},
    )  # fmt: skip
    action = ChangeFlowRunState(
        state=StateType.CRASHED, message="No heartbeat: its process or its worker was ended. Retry resumes it."
    )
    return AutomationCore(
        name=NAME, description="Runs whose process is gone are closed, so that they can be retried.", trigger=trigger,
        actions=[action],
    )  # fmt: skip


def register(automation: AutomationCore) -> None:
    """Make the automation the server's only one of its name."""
    with get_client(sync_client=True) as client:
        known = [one.id for one in client.read_automations_by_name(automation.name)]
        if known:
            client.update_automation(known[0], automation)
            for spare in known[1:]:
                client.delete_automation(spare)
        else:
            client.create_automation(automation)


def make_limit() -> None:
    """Make the limit `gpu` with one slot, if there is none."""
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, limit=1, active=True))


if __name__ == "__main__":
    register(dead_runs())
    make_limit()
