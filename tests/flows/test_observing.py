"""What real processes show of themselves: worker processes in the figures while they live."""

import pytest
import requests

from tests.support.deadline import eventually
from tests.support.processes import Installation


@pytest.mark.processes
def test_a_worker_process_shows_in_the_figures_while_it_lives() -> None:
    with Installation() as it:
        it.start("broker"), it.start("web"), it.start("worker")

        def shows(count: int) -> bool:
            line = f'cueapi_worker_processes{{state="ok"}} {count}.0'
            return line in requests.get(f"{it.base_url}/metrics", timeout=10).text

        eventually(lambda: shows(1), within_s=20, what="the worker in the figures")
        it.stop("worker")
        eventually(lambda: shows(0), within_s=20, what="the worker gone from the figures")
