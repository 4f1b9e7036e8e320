"""Recall by a question in plain words: what it asks for, which facts answer it, and which of them are shown."""

from langchain_memllm.recall.fairness import SHARE, by_rank, fair
from langchain_memllm.recall.question import STOPWORDS, Question, asked, leans
from langchain_memllm.recall.ranking import Ranked, rank, words_of_aliases

__all__ = ["SHARE", "STOPWORDS", "Question", "Ranked", "asked", "by_rank", "fair", "leans", "rank", "words_of_aliases"]
