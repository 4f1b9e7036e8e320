"""Objects that hold an open store or a model: a copy of one is the object itself, and none can be pickled.

Frameworks deep-copy what they are handed (agents, tools, configurations). Two objects over one store would each keep
recollections that the other's writes make stale, so copies share.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from langchain_memllm.errors import ConfigurationError

__all__ = ["Shared"]

_S = TypeVar("_S", bound="Shared")


class Shared:
    """Copied by being shared; see the module."""

    __slots__ = ()

    def __copy__(self: _S) -> _S:
        """The object itself."""
        return self

    def __deepcopy__(self: _S, memo: dict[int, Any]) -> _S:
        """The object itself."""
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(
            f"a {type(self).__name__} cannot be pickled: it holds an open memory; send where that is kept (a path or "
            "an address), and open it there with MemLLMMemory(…)"
        )

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """As ``__reduce__``."""
        self.__reduce__()
