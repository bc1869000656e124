"""What triplets come from while training: a file, or a sampler."""

from typing import Any, Protocol

from numpy.typing import NDArray


class TripletSource(Protocol):
    """Images, and for each epoch triplets of them.

    Attributes:
        images: path of each image, as it can be opened.
        fingerprint: hexadecimal digits; two sources that differ in a triplet differ in it.
        description: what a model file tells of the data that it was trained on; plain values.
    """

    @property
    def images(self) -> list[str]: ...  # noqa: D102

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def description(self) -> dict[str, Any]: ...  # noqa: D102

    def __len__(self) -> int:
        """Return the number of triplets of an epoch."""
        ...

    def epoch(self, number: int) -> NDArray:
        """Return the triplets of an epoch, (n, 3) positions in `images`: the same at each call."""
        ...
