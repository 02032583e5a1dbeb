"""Training, run folders and reports: what a user calls is here, the rooms hold the parts.

``runs`` is the folder of a run and what is read and written in it, ``training`` trains, resumes and
loads, ``reports`` analyses and tells, ``commands`` is what the command line does. A room imports
from those before it only.
"""

from rlkit.experiment.reports.analyze import analyze
from rlkit.experiment.reports.animation import render
from rlkit.experiment.reports.report import compare, report
from rlkit.experiment.train import Trained, train
from rlkit.experiment.training.config import TrainConfig
from rlkit.experiment.training.devices import use_host_devices
from rlkit.experiment.training.export import export_policy
from rlkit.experiment.training.fit_config import FitRunConfig
from rlkit.experiment.training.group_config import GroupRunConfig
from rlkit.experiment.training.loading import load, load_group
from rlkit.experiment.training.members import Members, sweep
from rlkit.experiment.training.run import resume, run

__all__ = [
    "FitRunConfig",
    "GroupRunConfig",
    "Members",
    "TrainConfig",
    "Trained",
    "analyze",
    "compare",
    "export_policy",
    "load",
    "load_group",
    "render",
    "report",
    "resume",
    "run",
    "sweep",
    "train",
    "use_host_devices",
]
