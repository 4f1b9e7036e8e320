"""A document small enough to work out by hand, in the format of Re-DocRED."""

from __future__ import annotations

from typing import Any

CURIE: dict[str, Any] = {
    "title": "Curie",
    "sents": [
        ["Ada", "Curie", "was", "born", "in", "Oslo", "."],
        ["She", "married", "Bo", "Lie", "in", "Rome", "."],
        ["Curie", "died", "in", "Rome", "."],
    ],
    "vertexSet": [
        [
            {"name": "Ada Curie", "sent_id": 0, "pos": [0, 2], "type": "PER"},
            {"name": "Curie", "sent_id": 2, "pos": [0, 1], "type": "PER"},
        ],
        [{"name": "Oslo", "sent_id": 0, "pos": [5, 6], "type": "LOC"}],
        [{"name": "Bo Lie", "sent_id": 1, "pos": [2, 4], "type": "PER"}],
        [
            {"name": "Rome", "sent_id": 1, "pos": [5, 6], "type": "LOC"},
            {"name": "Rome", "sent_id": 2, "pos": [3, 4], "type": "LOC"},
        ],
    ],
    "labels": [
        {"h": 0, "t": 1, "r": "P19", "evidence": [0]},
        {"h": 0, "t": 2, "r": "P26", "evidence": [1]},
        {"h": 2, "t": 0, "r": "P26", "evidence": []},
        {"h": 0, "t": 3, "r": "P20", "evidence": []},
    ],
}
