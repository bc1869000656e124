"""One Ray of two cores for all tests of the cluster, in processes of its own."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "search"))  # for its samples

HOLDER = """
import sys
import ray
from deep_ranking.cluster.ray_data import connected
with connected("local", num_cpus=2):
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="session")
def environment():
    """Of Ray's workers and drivers: where modules are, and a token of the session's own to meet by."""
    folders = map(str, [HERE.parents[1], HERE.parent / "search", HERE])
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {**os.environ, **token, "PYTHONPATH": os.pathsep.join(folders)}


@pytest.fixture(scope="session")
def ray_address(ray_holder):
    """Where drivers of the session's Ray connect to."""
    return ray_holder[1]


@pytest.fixture(scope="session")
def ray_holder(environment):
    """Start Ray once a session; the process above its own, and its address."""
    pytest.importorskip("ray", reason="needs the extra 'cluster'")
    for _ in range(4):  # Ray gives itself 30 seconds to start, which on a busy machine is too few
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        if address := holder.stdout.readline().strip():
            break
        errors = holder.communicate()[1]
    else:
        pytest.fail(f"Ray did not start: {errors}")
    yield holder.pid, address
    holder.communicate()  # it ends with its standard input
