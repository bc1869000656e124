"""The two small nets on downsampled images, which see colour and layout rather than objects."""

from typing import Any

from keras import layers


def paper_paths(image: Any) -> list[Any]:
    """The paper's two paths: average 4:1 and 8:1, one convolution, one max pooling each.

    At 225 pixels: 57 -> convolution 8x8 stride 4 -> 15 -> pooling 7x7 stride 4 -> 4x4x96, and
    29 -> 8 -> pooling 3x3 stride 2 -> 4x4x96; together 3,072 numbers under one L2 normalization.
    Figure 3 labels the poolings the other way round, which does not give its own sizes, and prints 3074.

    Args:
        image: (batch, height, width, 3), RGB 0..255.

    Returns:
        One branch, (batch, features), unit length.

    Source: Wang et al. 2014, figure 3.
    """
    image = layers.Rescaling(1 / 127.5, offset=-1, name="low_resolution_scale")(image)
    flat = []
    for ratio, pool, stride in ((4, 7, 4), (8, 3, 2)):
        x = layers.AveragePooling2D(ratio, padding="same", name=f"average_{ratio}")(image)
        x = layers.Conv2D(96, 8, strides=4, padding="same", name=f"low_resolution_{ratio}")(x)
        x = layers.MaxPooling2D(pool, stride, padding="same", name=f"max_{ratio}")(x)
        flat.append(layers.Flatten(name=f"flat_{ratio}")(x))
    both = layers.Concatenate(name="low_resolution")(flat)
    return [layers.UnitNormalization(name="low_resolution_unit", dtype="float32")(both)]


def blog_paths(image: Any) -> list[Any]:
    """The blog's two paths: convolutions that stride over the full image, normalized each by itself.

    An 8x8 kernel at stride 16 or 32 reads a quarter or a sixteenth of the pixels; kept as it was, so that
    weights trained with it load.

    Args:
        image: (batch, height, width, 3), RGB 0..255.

    Returns:
        Two branches, (batch, features) each, unit length.
    """
    image = layers.Rescaling(1 / 255, name="low_resolution_scale")(image)
    branches = []
    for step, pool, stride in ((16, 3, 4), (32, 7, 2)):
        x = layers.Conv2D(96, 8, strides=step, padding="same", name=f"low_resolution_{step}")(image)
        x = layers.MaxPooling2D(pool, stride, padding="same", name=f"max_{step}")(x)
        x = layers.Flatten(name=f"flat_{step}")(x)
        branches.append(layers.UnitNormalization(name=f"unit_{step}", dtype="float32")(x))
    return branches
