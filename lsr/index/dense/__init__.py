"""Dense indexes with faiss."""

from lsr.extras import need

need("dense search", "faiss")
