"""lsr inside other libraries. Each module imports its library, and nobody imports a module that is not used."""
