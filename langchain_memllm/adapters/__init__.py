"""Doors for LangChain, one each: middleware and tools. They do not know each other; ``plugin`` makes them."""
