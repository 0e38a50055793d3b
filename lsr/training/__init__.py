"""Training encoders."""

from lsr.extras import need

need("training", "torch", "transformers", "accelerate")
