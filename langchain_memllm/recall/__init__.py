"""Recall by a question in plain words: what it asks for, which facts answer it, and which of them are shown."""

from langchain_memllm.recall.fairness import SHARE, STRICT, by_rank, fair
from langchain_memllm.recall.fusion import at_rank
from langchain_memllm.recall.question import STOPWORDS, Question, needs_context, parse_question
from langchain_memllm.recall.ranking import Ranked, StoredFacts, Weights, rank, relation_words
from langchain_memllm.recall.sentences import Sentences
from langchain_memllm.recall.telling import telling_sentence
from langchain_memllm.recall.turns import TurnPool, keyword_shares, newer_first, rank_by_words, turn_words

__all__ = [
    "SHARE",
    "STOPWORDS",
    "STRICT",
    "Question",
    "Ranked",
    "Sentences",
    "StoredFacts",
    "TurnPool",
    "Weights",
    "at_rank",
    "by_rank",
    "fair",
    "keyword_shares",
    "needs_context",
    "newer_first",
    "parse_question",
    "rank",
    "rank_by_words",
    "relation_words",
    "telling_sentence",
    "turn_words",
]
