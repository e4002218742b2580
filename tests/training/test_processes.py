"""The number of processes and machines changes the speed, and the losses by rounding alone."""

from pathlib import Path

import pytest
from tests.training.conftest import Train
from tests.training.toys import processes_of, second_machine, write_srun

from dermdit_kedro.launching import LaunchConfig

HERE = LaunchConfig()
SEVERAL = LaunchConfig(launcher="accelerate", device="cpu", num_processes=2)
TWO_MACHINES = LaunchConfig(
    launcher="accelerate", device="cpu", num_machines=2, main_process_ip="127.0.0.1", timeout_s=120
)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["two processes", "four processes", "two machines", "two machines by srun"])
def test_fifty_steps_have_the_losses_of_one_process(tmp_path: Path, train: Train, way: str) -> None:
    _, alone = train(tmp_path / "one", HERE)
    work_dir = tmp_path / "several"
    if way == "two machines":
        with second_machine(work_dir):
            _, together = train(work_dir, TWO_MACHINES)
    else:
        prefixed = TWO_MACHINES.model_copy(update={"command_prefix": (str(write_srun(tmp_path)),)})
        _, together = train(
            work_dir,
            {
                "two processes": SEVERAL,
                "four processes": SEVERAL.model_copy(update={"num_processes": 4}),
                "two machines by srun": prefixed,
            }[way],
        )
    assert len(alone["loss"]) == len(together["loss"]) == 50
    assert together["loss"] == pytest.approx(alone["loss"], abs=1e-5)
    assert processes_of(tmp_path) == []
