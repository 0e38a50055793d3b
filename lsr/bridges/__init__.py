"""Bridges to other libraries. Each module imports one library, and is imported only by its users."""
