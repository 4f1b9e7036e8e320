"""``python -m langchain_memllm.cli``."""

from langchain_memllm.cli import main

if __name__ == "__main__":
    main()
