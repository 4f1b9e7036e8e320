"""The multilingual table; ``langchain_memllm.embeddings`` reads it."""
