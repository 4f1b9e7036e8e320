"""``python -m langchain_memllm``: the command line."""

from langchain_memllm.cli import main

if __name__ == "__main__":
    main()
