"""A Ray cluster, joined once by a process, for shards and for embedding."""

import logging
import os
import re
import secrets
import socket
import sys
from typing import Any

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason

LOCAL = "local"
"""The address of a cluster that is started on this machine, and ends with the process."""

_PATIENCE = 10  # seconds to reach a cluster's machine


def join_cluster(address: str) -> Any:
    """Join a Ray cluster, unless this process is in one, and return the package.

    A cluster of one's own listens on every network and would run whatever anybody sends; so it asks for a
    token, drawn here unless RAY_AUTH_TOKEN gives one.

    Args:
        address: `LOCAL`, `auto` (one that runs on this machine) or `HOST:PORT`.

    Raises:
        MissingExtraError: Ray is not installed.
        DeepRankingError: there is no cluster.
    """
    own = address == LOCAL
    if own and "ray" not in sys.modules:  # it reads these when imported
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports to its makers unless told not to
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # it warns of a change to come
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "cluster", "a Ray cluster") from None
    if ray.is_initialized():
        return ray
    try:
        if re.fullmatch(r"[^/]+:\d+", address):  # where nothing listens, Ray asks for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
        ray.init(
            address=address,
            include_dashboard=False if own else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises nearly anything, Exception itself for one
        ray.shutdown()
        mend = (
            "Ray gives itself 30 seconds to start; try again when the machine is less busy"
            if own
            else "start one with: ray start --head; or give the address local"
        )
        raise DeepRankingError(f"Ray at {address}: expected a cluster ({reason(error)}); {mend}") from None
    # Ray tells of workers that died on standard output, which is for results.
    ray._private.worker.print_to_stdstream = _tell
    return ray


def _tell(data: dict[str, Any], ignore_prefix: bool = False) -> None:
    print(*data["lines"], sep="\n", file=sys.stderr)
