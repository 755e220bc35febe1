"""Files of Flickr8k for tests, as it is published."""

from pipeline.sources.flickr8k import SPLIT_FILES, TOKEN_FILE
from pipeline.sources.split_names import make_split_names

NAMES = make_split_names("train", None)
TOKENS = "a.jpg#0\tA dog .\n"
CSV = "image,caption\na.jpg,A dog .\n"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def make_source(root, captions_file=TOKEN_FILE, text="", images="Flicker8k_Dataset", splits=True):
    write(root / text / captions_file, TOKENS if captions_file == TOKEN_FILE else CSV)
    write(root / images / "a.jpg", b"image")
    if splits:
        for name in SPLIT_FILES.values():
            write(root / text / name, "a.jpg\n")
    return root
