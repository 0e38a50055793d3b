"""Dense vectors in faiss."""

from lsr.extras import need

need("dense search", "faiss")
