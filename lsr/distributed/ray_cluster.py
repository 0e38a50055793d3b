"""The Ray cluster of a process."""

from __future__ import annotations

from lsr.errors import ParameterError
from lsr.extras import need


def connected(cluster: str) -> None:
    """Connect to a Ray cluster. A connected process keeps its cluster.

    cluster: an address, such as "auto" for the cluster of this machine, or "local" for a new cluster on this machine,
        which ends with this process. Raises MissingExtraError, and ParameterError if it cannot connect.
    """
    need("a cluster", "ray")
    import ray

    if ray.is_initialized():
        return
    try:
        ray.init(address=cluster, log_to_driver=False, logging_level="warning")
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ParameterError(
            f"cannot connect to a Ray cluster at {cluster!r} ({reason}); start one with `ray start --head`, or use "
            "'local'"
        ) from error
