"""What a model card says of a training is what its configuration and its figures say."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import ModelCard

from tests.training.trained import train_here, write_config


def test_a_trained_encoder_tells_of_its_training(tmp_path: Path) -> None:
    more = (
        '[teacher]\nsparse = ["tiny"]\nscale = 10\n'
        f'[evaluation]\ncollection = "{tmp_path / "data"}"\nevery = 2\nqueries = 9\nmeasure = "RR@10"'
    )
    losses = 'name = "kl"\n[[losses]]\nname = "in-batch"\nweight = 0.5'
    described = train_here(write_config(tmp_path, "steps = 4\naccumulate = 2", more, losses=losses))
    card = ModelCard.load(tmp_path / "out" / "encoder" / "README.md")
    _, _, said = card.text.partition("## Training\n\n")
    training, _, figures = said.partition("\n\n## Figures\n\n")
    assert training.splitlines() == [
        "- Data: `data`, split `train`, 3 documents, with random negatives, of a query",
        "- Loss: kl, weight 1",
        "- Loss: in-batch, weight 0.5",
        "- Penalty on queries: l1, strength 0.01",
        "- Penalty on documents: flops, strength 0.01",
        "- Teachers: `tiny`, scale 10",
        "- 4 steps of 12 queries, rate 0.001, float32, seed 3",
    ]
    assert str(tmp_path) not in card.content  # of a machine, nothing is told
    place, _, table = figures.partition("\n\n")
    assert place.startswith(f"On `data`, of at most 9 queries and 50,000 documents each, at step {described['step']}. ")
    before, after = described["metrics_before"], described["metrics"]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()]
    assert rows[2:] == [[f"`{name}`", f"{before[name]:.4g}", f"{after[name]:.4g}"] for name in after]


def test_a_training_without_evaluation_has_no_figures(tmp_path: Path) -> None:
    train_here(write_config(tmp_path, "epochs = 0.2", data=f'collection = "{tmp_path / "data"}"\ngroup = 1'))
    text = (tmp_path / "out" / "encoder" / "README.md").read_text()
    assert "- Data: `data`, split `train`, 1 document of a query\n" in text
    assert "- 0.2 epochs of 6 queries" in text and "Figures" not in text
