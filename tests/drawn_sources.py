"""Sources of pictures and captions that tests draw: Flickr8k's layout, and TFDS's files."""

import io
import shutil

import tensorflow_datasets as tfds
from PIL import Image


def jpeg(color, mode="RGB", size=(40, 30), format="JPEG"):
    """A picture of one color, as bytes."""
    file = io.BytesIO()
    Image.new(mode, size, color).save(file, format)
    return file.getvalue()


def write_flickr8k(directory, images, captions, **splits):
    """`images`: name -> bytes; `captions`: lines of the token file, as bytes."""
    (directory / "images").mkdir(parents=True)
    for name, content in images.items():
        (directory / "images" / name).write_bytes(content)
    (directory / "Flickr8k.token.txt").write_bytes(b"\n".join(captions) + b"\n")
    for split, names in splits.items():
        (directory / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")


def copy_source(pictures, directory):
    """A copy of drawn pictures, to be changed."""
    shutil.copytree(pictures, directory)
    return directory


def write_tfds(directory, name, features, splits, config=None, **options):
    """Writes split -> examples as `tfds build` does, two shards a split; gives data_dir."""

    class Written(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {split: iter(enumerate(examples)) for split, examples in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError

    Written.name = name
    builder = Written(data_dir=str(directory), **options)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=2))
    return str(directory)
