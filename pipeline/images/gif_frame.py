"""Extracts the first frame of a GIF, as a TensorFlow graph.

TensorFlow decodes all frames of a GIF, of which a small file can have thousands. It also leaves
transparent pixels and those outside the frame black. So the file is rewritten before decoding: the
first frame alone, at the corner, with white for the transparent color.
"""

import tensorflow as tf

from pipeline.images.integers import integer

_HEADER_BYTES = 13  # signature and logical screen; the color table's flags are at 10
_DESCRIPTOR_BYTES = 10  # separator, left, top, width, height (2 bytes each), color table's flags


def only_first_frame(image_bytes: tf.Tensor, data: tf.Tensor) -> tf.Tensor:
    """A GIF file with the first frame only, scalar string.

    Args:
      image_bytes: scalar string, the file.
      data: its `file_bytes`.
    """
    frame, transparent = first_gif_frame(data)
    global_colors = _color_table_bytes(data, 10)
    local_colors = _color_table_bytes(data, frame + 9)
    # Descriptor, local color table, one byte of code size, data blocks.
    end = after_blocks(data, frame + _DESCRIPTOR_BYTES + local_colors + 1)
    gif = tf.strings.join(
        [
            _part(image_bytes, 0, _HEADER_BYTES + global_colors),
            b",\0\0\0\0",  # separator, left, top
            _part(image_bytes, frame + 5, end),
            b";",
        ]
    )
    has_local = local_colors > 0
    colors_at = _HEADER_BYTES + tf.where(has_local, global_colors + _DESCRIPTOR_BYTES, 0)
    color_at = colors_at + 3 * transparent
    is_color = 3 * transparent < tf.where(has_local, local_colors, global_colors)

    def whitened() -> tf.Tensor:
        behind = _part(gif, color_at + 3, tf.size(data, tf.int64))
        return tf.strings.join([_part(gif, 0, color_at), b"\xff\xff\xff", behind])

    return tf.cond((transparent >= 0) & is_color, whitened, lambda: gif)


def first_gif_frame(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The position of the image descriptor of a GIF's first frame (GIF89a, section 20), int64.

    Without a frame it is the end of the data. The second result is the frame's transparent color,
    scalar int64, or -1.
    """

    def extension(at: tf.Tensor, transparent: tf.Tensor) -> list[tf.Tensor]:
        # Graphic control (section 23): label, flags, delay (2 bytes), transparent color.
        is_control = integer(data, at, 3, False) == 0x21F904
        has_transparent = integer(data, at + 3, 1, True) % 2 == 1
        color = tf.where(has_transparent, integer(data, at + 6, 1, True), -1)
        return [after_blocks(data, at + 2), tf.where(is_control, color, transparent)]

    [at, transparent] = tf.while_loop(
        lambda at, transparent: integer(data, at, 1, True) == 0x21,
        extension,
        [_HEADER_BYTES + _color_table_bytes(data, 10), tf.constant(-1, tf.int64)],
    )
    is_frame = integer(data, at, 1, True) == 0x2C
    return tf.where(is_frame, at, tf.size(data, tf.int64) - 1), transparent


def after_blocks(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """The position after a GIF's chain of data blocks that begins at `at` (GIF89a, section 15)."""
    [last] = tf.while_loop(
        lambda at: integer(data, at, 1, True) > 0,  # past the end it reads 0
        lambda at: [at + 1 + integer(data, at, 1, True)],
        [at],
    )
    return last + 1


def _part(content: tf.Tensor, start: tf.Tensor | int, stop: tf.Tensor) -> tf.Tensor:
    """`content[start:stop]`, limited to its end, past which `substr` would fail."""
    start = tf.minimum(tf.cast(start, tf.int64), tf.cast(tf.strings.length(content), tf.int64))
    return tf.strings.substr(content, start, tf.maximum(stop - start, 0))


def _color_table_bytes(data: tf.Tensor, flags_at: tf.Tensor | int) -> tf.Tensor:
    flags = integer(data, flags_at, 1, True)
    return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)
