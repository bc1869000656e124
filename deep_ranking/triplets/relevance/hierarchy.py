"""Relevance from a hierarchy of classes, such as WordNet's."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.triplets.relevance.interface import Relevance


class Hierarchy:
    """Which class lies in which: a tree, or several, of names.

    Args:
        parents: the parent of each name that has one.

    Raises:
        DeepRankingError: a name is its own ancestor.

    Example:
        >>> tree = Hierarchy({"beagle": "dog", "tabby": "cat", "dog": "animal", "cat": "animal"})
        >>> tree.lineage("beagle")
        ['animal', 'dog', 'beagle']
    """

    def __init__(self, parents: Mapping[str, str]):
        self._parents = dict(parents)
        self._names = {*self._parents, *self._parents.values()}
        for name in self._parents:
            self.lineage(name)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Hierarchy":
        """Read a file of child and parent.

        By the ending `.json`: one object, `{"child": "parent", ...}`. Otherwise UTF-8 text, one
        `child<TAB>parent` a line; blank lines and lines that begin with `#` are passed over. The names of
        the leaves are those of the classes (for Tiny ImageNet, WordNet ids: `n02085620<TAB>n02085374`).
        A root is a parent that is nobody's child. There may be several.

        Raises:
            DeepRankingError: the file is not so, a child has two parents, or a name is its own ancestor.
            OSError: the file cannot be read.
        """
        path = Path(path)
        parents: dict[str, str] = {}
        for place, child, parent in _json_links(path) if path.suffix == ".json" else _text_links(path):
            if parents.setdefault(child, parent) != parent:
                raise DeepRankingError(
                    f"{place}: {child!r} lies in {parent!r} and, further up, in {parents[child]!r}; "
                    "in a tree each child has one parent, so keep one of the two lines"
                )
        try:
            return cls(parents)
        except DeepRankingError as error:
            raise DeepRankingError(f"{path}: {error}") from error

    def lineage(self, name: str) -> list[str]:
        """Return the names from the root down to `name`, which is the last of them."""
        if name not in self._names:
            raise DeepRankingError(f"class {name!r} is not in the hierarchy; add a line for it")
        names = [name]
        while names[-1] in self._parents:
            names.append(self._parents[names[-1]])
            if names[-1] == name or len(names) > len(self._names):
                raise DeepRankingError(f"{name!r} is its own ancestor; break the circle")
        return names[::-1]


class HierarchyRelevance(Relevance):
    """r(i, j) = 2 depth(a) / (depth(class of i) + depth(class of j)), a their lowest common ancestor.

    Depth counts from 1 at a root. Two images of one class have relevance 1, those of two breeds of dog less,
    and those of two categories 0. A category is what lies below one ancestor at `category_depth`; a class
    that lies higher is a category of its own. So a negative of the query's category is an image of
    another class: a fine-grained one.

    Args:
        hierarchy: the tree.
        classes: the names of the classes.
        labels: integers, shape (n,): the place in `classes` of each image's class.
        category_depth: 1 takes the roots as categories, 2 their children, and so on.

    Raises:
        DeepRankingError: a class is not in the hierarchy, or the depth is below 1.

    Example:
        >>> tree = Hierarchy({"beagle": "dog", "pug": "dog", "tabby": "cat"})
        >>> relevance = HierarchyRelevance(tree, ["beagle", "pug", "tabby"], labels=[0, 0, 1, 2])
        >>> relevance(0, [1, 2, 3])
        array([1. , 0.5, 0. ])

    Source: the similarity of Wu and Palmer, "Verb semantics and lexical selection", 1994.
    """

    def __init__(
        self, hierarchy: Hierarchy, classes: Sequence[str], labels: ArrayLike, category_depth: int = 1
    ):
        expect("category_depth", category_depth >= 1, "1 (the roots) or more", category_depth)
        lineages = [hierarchy.lineage(name) for name in classes]
        self._depths = np.array([len(names) for names in lineages], np.int64)
        code: dict[str, int] = {}
        # One row a class: its ancestors from the root down. Two rows agree down to the lowest common one;
        # beyond a class's own depth stand numbers that are nobody else's.
        self._ancestors = np.empty((len(lineages), self._depths.max(initial=1)), np.int64)
        for row, names in enumerate(lineages):
            self._ancestors[row] = -1 - row
            self._ancestors[row, : len(names)] = [code.setdefault(name, len(code)) for name in names]
        self.labels = np.asarray(labels, np.int64)
        top = [code[names[min(category_depth, len(names)) - 1]] for names in lineages]
        self.class_categories = np.array(top, np.int64)
        super().__init__(self.class_categories[self.labels], maximum=1)

    def _within(self, queries: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        return self._similarity(self.labels[queries], self.labels[others])

    def _similarity(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        common = (self._ancestors[first] == self._ancestors[second]).sum(axis=-1)
        common = np.where(first == second, self._depths[first], common)
        return 2.0 * common / (self._depths[first] + self._depths[second])

    def totals(self) -> NDArray[np.float64]:
        """Return r_i from the sizes of the classes: time linear in the images."""
        sizes = np.bincount(self.labels, minlength=len(self._depths))
        totals = np.zeros(len(self._depths))
        for members in self._classes():
            totals[members] = self._similarity(members[:, None], members[None, :]) @ sizes[members] - 1
        return totals[self.labels]

    def smallest(self) -> NDArray[np.float64]:
        """Return the relevance to the farthest class of the category."""
        smallest = np.ones(len(self._depths))
        for members in self._classes():
            smallest[members] = self._similarity(members[:, None], members[None, :]).min(axis=1)
        return smallest[self.labels]

    def _classes(self) -> Iterator[NDArray[np.int64]]:
        """Yield the classes of each category, those alone that have images."""
        present = np.unique(self.labels)
        for category in np.unique(self.class_categories[present]):
            yield present[self.class_categories[present] == category]


def _text_links(path: Path) -> Iterator[tuple[str, str, str]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\r\n")
            if not line.strip() or line.startswith("#"):
                continue
            place, names = f"{path}, line {number}", line.split("\t")
            if len(names) != 2 or not all(names):
                raise DeepRankingError(f"{place}: expected child<TAB>parent, found {line!r:.200}")
            yield place, names[0], names[1]


def _json_links(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        pairs = json.loads(path.read_bytes(), object_pairs_hook=lambda pairs: pairs)
    except (ValueError, RecursionError) as error:  # the second: lists in lists in lists
        raise DeepRankingError(f"{path}: not JSON ({error})") from error
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise DeepRankingError(f'{path}: expected one object {{"child": "parent"}}, found another value')
    for child, parent in pairs:
        if not child or not isinstance(parent, str) or not parent:
            raise DeepRankingError(f"{path}: expected the name of {child!r}'s parent, found {parent!r:.200}")
        yield f"{path}, {child!r}", child, parent
