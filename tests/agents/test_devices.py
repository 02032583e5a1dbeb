"""Data-parallel agents on many devices, and on two processes, gives the parameters of one device."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment

SCRIPT = Path(__file__).resolve().parent / "devices.py"


def start(devices, *arguments):
    """``devices.py`` in a process with so many CPU devices."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, str(SCRIPT), *arguments], env=environment(devices), **pipes)


def result(process):
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err[-3000:]
    found = json.loads(out.splitlines()[-1])
    assert found["gap"] < 1e-5, found
    assert found["moved"] > 1e-3, found
    return found


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["ppo", "sac", "dqn", "pqn"])
def test_eight_devices_learn_what_one_learns(agent):
    found = result(start(8, agent))
    assert found["devices"] == 8


@pytest.mark.slow
def test_two_processes_learn_what_one_learns():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [start(1, "ppo", port, str(k)) for k in range(2)]
    try:
        first, second = (result(process) for process in processes)
    finally:
        for process in processes:
            process.kill()
    assert first["devices"] == first["processes"] == second["processes"] == 2
    assert first["params"] == second["params"]
    assert first["environment"] != second["environment"]
