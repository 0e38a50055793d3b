"""What a training says of itself while it runs."""

from __future__ import annotations

from lsr.training.log import RECENT_STEPS, Rates


def test_the_loss_shown_is_a_mean_of_the_last_steps() -> None:
    rates = Rates()
    rates.add({"loss": 1e9, "query nnz": 0.0, "document nnz": 0.0}, 1)
    for step in range(RECENT_STEPS):
        rates.add({"loss": 1.0 + step % 2, "query nnz": 19.0, "document nnz": 90.0 + step % 2}, 1)
        if step % 20 == 0:
            rates.take()  # a line of the log starts no other mean
    assert rates.shown() == "mean loss 1.5, nnz 19/90"
