"""Dense sentence encoders."""

from lsr.extras import need

need("a dense encoder", "torch", "transformers")
