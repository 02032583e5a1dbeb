"""Jobs of the toy learner."""

from toy_agent import ToyConfig

from rlkit.experiment.training import config
from rlkit.jobs.file import Job


def job(index: int, folder: str = "", **changes) -> Job:
    """A job of the toy learner that is followed by a note, one line each time."""
    toy = ToyConfig(work=changes.pop("work", 0))
    options = {"seeds": 2, "total_steps": 200, "log_every": 3, "probes": 0, "checkpoint_every": 5} | changes
    settings = config.TrainConfig(agent=toy, algorithm="toy_agent:toy", seed=index, devices=1, **options)
    return Job(
        f"toy-{index}", folder or f"cells/{index}", config.to_dict(settings), "after:note", {"word": "x"}
    )
