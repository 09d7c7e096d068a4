"""The parts that anyone can swap for their own, and the one way from a name to what it stands for.

docs/extending.md has a complete example of each.
"""

from collections.abc import Mapping
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
            return self._imported(name)
        plugins = {entry.name: entry for entry in entry_points(group=self.group)}
        if name in plugins:
            return plugins[name].load()
        names = ", ".join([*known, *sorted(plugins)])
        raise InputError(
            f"{self.place}: unknown '{name}'; known: {names}, or an import path package.module:Name"
        )

    def refuse(self, name: str, needs: str) -> InputError:
        """The error for something that was found but does not fit; `needs` says what would."""
        return InputError(f"{self.place}: '{name}' gives no {self.part}; one {needs}")

    def _imported(self, path: str) -> Any:
        module, _, attribute = path.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{self.place}: '{path}' cannot be imported: {error}") from error


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
