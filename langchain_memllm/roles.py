"""Under which names others write the three parts of a triple: as predicate, head and tail, source and target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["OTHER_ROLES", "ROLES", "names_of_parts"]

ROLES: Final = {
    "subject": ("subject", "head", "subj", "s"),
    "relation": ("relation", "predicate", "property", "rel", "p", "r"),
    "object": ("object", "tail", "value", "obj", "o"),
}
OTHER_ROLES: Final = {  # names of other extractors; they mean this only where all three parts are there
    "subject": ("source", "source_entity", "source_entity_name", "source_node_id", "head_entity"),
    "relation": ("relationship", "relationship_name", "relation_type", "relationship_type", "type", "edge", "label"),
    "object": ("target", "destination", "target_entity", "target_entity_name", "target_node_id", "tail_entity"),
}


def names_of_parts(names: Iterable[str]) -> dict[str, str]:
    """Which of these names stand for the parts: part to name; parts that none stands for are left out."""
    given = set(names)
    found: dict[str, str] = {}
    for role, own in ROLES.items():
        name = next((each for each in (*own, *OTHER_ROLES[role]) if each in given), None)
        if name is not None:
            found[role] = name
    return found
