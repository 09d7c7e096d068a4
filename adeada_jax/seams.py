"""The parts that anyone can swap for their own, and the one way from a name to what it stands for.

docs/extending.md has a complete example of each.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from adeada_jax.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Seam:
    """A place where the configuration names a part.

    Attributes:
      part: what is named, for people.
      key: of the configuration, that holds the name; or a flag, with its dashes.
      group: of entry points, under which installed packages name theirs.
    """

    part: str
    key: str
    group: str

    @property
    def place(self) -> str:
        """Where the name stands, for errors."""
        return self.key if self.key.startswith("-") else f"config.{self.key}"

    def resolve(self, name: str, known: Mapping[str, T]) -> T:
        """What a name stands for.

        Args:
          name: of what is `known`, of an installed package's under `group`, or an import path
            `package.module:Name`.
          known: what the project has itself.

        Raises:
          InputError: the name is unknown or cannot be imported; names the key and what is known.
        """
        if name in known:
            return known[name]
        if ":" in name:
            module, _, attribute = name.partition(":")
            return self._loaded(name, lambda: getattr(import_module(module), attribute))
        plugins = {entry.name: entry for entry in entry_points(group=self.group)}
        if name in plugins:
            return self._loaded(name, plugins[name].load)
        names = ", ".join([*known, *sorted(plugins)])
        raise InputError(
            f"{self.place}: unknown '{name}'; known: {names}, or an import path package.module:Name"
        )

    def make(self, name: str, known: Mapping[str, Callable[..., T]], *arguments: object) -> T:
        """What the class or function gives that a name stands for; whether it fits is the caller's to say.

        Raises:
          InputError: as of `resolve`; it cannot be called with these arguments, or asks them for a key that
            is not there.
        """
        make = self.resolve(name, known)
        if not callable(make):
            raise self.refuse(name, f"comes of a class or function, and this is {make!r}")
        _check_call(self, name, make, arguments)
        try:
            return make(*arguments)
        except (KeyError, AttributeError) as error:
            raise InputError(
                f"{self.place}: '{name}' cannot be made: {type(error).__name__}: {error}; is a key of its "
                "own missing in the configuration?"
            ) from error

    def refuse(self, name: str, needs: str) -> InputError:
        """The error for something that was found but does not fit; `needs` says what would."""
        return InputError(f"{self.place}: '{name}' gives no {self.part}; one {needs}")

    def _loaded(self, name: str, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{self.place}: '{name}' cannot be imported: {error}") from error


def _check_call(seam: Seam, name: str, make: Callable[..., object], arguments: tuple[object, ...]) -> None:
    """Whether it takes as many arguments as there are."""
    try:
        inspect.signature(make).bind(*arguments)
    except TypeError as error:
        raise InputError(
            f"{seam.place}: '{name}' must take {len(arguments)} arguments to give a {seam.part}: {error}"
        ) from error
    except ValueError:  # of those written in C it cannot be told
        return


STRATEGY = Seam("strategy", "acquisition.strategy", "adeada_jax.strategies")
INGREDIENT = Seam("ingredient", "acquisition.strategy, its `needs`", "adeada_jax.ingredients")
DENSITY = Seam("density", "density.kind", "adeada_jax.densities")
PARTITION = Seam("partition", "regions.kind", "adeada_jax.partitions")
ANNOTATOR = Seam("annotator", "oracle.kind", "adeada_jax.annotators")
BACKBONE = Seam("backbone", "model.backbone", "adeada_jax.backbones")
HEAD = Seam("head", "model.name", "adeada_jax.heads")
DATA_SETS = {
    domain: Seam("data set", f"{domain}.dataset", "adeada_jax.data_sets") for domain in ("source", "target")
}
DATA_SET_FLAG = Seam("data set", "--dataset", "adeada_jax.data_sets")
