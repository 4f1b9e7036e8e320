"""Adapters for SmolLM2-135M-Instruct, one in each folder; ``langchain_memllm.local`` loads them."""
