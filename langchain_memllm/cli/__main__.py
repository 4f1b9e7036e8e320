"""``python -m langchain_memllm.cli``."""

from langchain_memllm.cli import app

if __name__ == "__main__":
    app()
