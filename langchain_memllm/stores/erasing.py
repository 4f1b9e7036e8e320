"""What forgetting means beyond the facts, alike on both stores: which quarantine goes, and what names stay somewhere.

Pure. The stores say what is in their tables; which of it tells of what is forgotten is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from langchain_memllm.belief import Quarantined
from langchain_memllm.stores.interface import Selection
from langchain_memllm.stores.outbox import names_any
from langchain_memllm.triples import is_literal_key, name_key

__all__ = ["named_in", "names_of", "tells"]

_MOST: Final = 20


def names_of(selection: Selection) -> tuple[str, ...]:
    """Keys by which texts are searched for the forgotten name, if a name is forgotten."""
    return tuple(dict.fromkeys(name_key(key[1:]) if is_literal_key(key) else key for key in selection.name_keys))


def tells(piece: Quarantined, selection: Selection, times: AbstractSet[str]) -> bool:
    """Whether a quarantined piece goes with what is forgotten.

    Args:
        piece: The piece.
        selection: What is forgotten.
        times: When the operations that stated it were done: what they put aside was of the same text.
    """
    if piece.recorded_at in times:
        return True
    if selection.source is not None:
        kind, ref = selection.source
        return piece.source.ref == ref and kind in (None, piece.source.kind)
    names = names_of(selection)
    return bool(names) and (names_any(piece.text, names) or names_any(piece.reason, names))


def named_in(places: Iterable[tuple[str, str]], selection: Selection) -> tuple[str, ...]:
    """Where a forgotten name still stands: names of sources and of who spoke, as (what it is, its text); the first."""
    names = names_of(selection)
    if not names:
        return ()
    found = (f"{what} {text}" for what, text in places if text and names_any(text, names))
    return tuple(sorted(dict.fromkeys(found)))[:_MOST]
