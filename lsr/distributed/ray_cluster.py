"""The cluster of Ray that a process works with."""

from __future__ import annotations

from lsr.errors import ParameterError
from lsr.extras import need


def connected(cluster: str) -> None:
    """Be part of a cluster of Ray; a process that is stays in the one that it has.

    cluster: an address, such as "auto" for the one of this machine, or "local" for a new one of this machine, which
    ends with this process. Raises MissingExtraError, ParameterError where no cluster answers.
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
            f"no cluster of Ray answers at {cluster!r} ({reason}); start one with ray start --head, or give 'local'"
        ) from error
