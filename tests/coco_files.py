"""Captions files and images of COCO for tests: written, found, read and joined."""

import json

from pipeline.sources.coco import find_coco
from pipeline.sources.split_names import make_split_names

INFO = {"description": "COCO", "year": 2014, "contributor": "COCO Consortium"}
NAMES = make_split_names("train", None)
LICENSES = [{"url": "http://creativecommons.org/licenses/by-nc-sa/2.0/", "id": 1, "name": "BY"}]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def image_entry(number, release="train2014"):
    return {
        "license": 1,
        "file_name": f"COCO_{release}_{number:012}.jpg",
        "coco_url": "http://images.cocodataset.org/a.jpg",
        "height": 480,
        "width": 640,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": "http://farm5.staticflickr.com/a_z.jpg",
        "id": number,
    }


def annotation(id, number, text="A man ."):
    return {"image_id": number, "id": id, "caption": text}


def captions(images, annotations, **more):
    """The content of a captions file, its keys in the order of the published ones."""
    lists = {"images": images, "licenses": LICENSES, "annotations": annotations}
    return json.dumps({"info": INFO, **lists, **more})


def write_captions(directory, release, number=391895):
    content = captions([image_entry(number, release)], [annotation(770337, number)])
    return write(directory / f"captions_{release}.json", content)


def write_image(directory, release, number=391895):
    write(directory / image_entry(number, release)["file_name"], b"image")
    return str(directory)


def find(path, image_directory="", names=NAMES, needs_images=True):
    return find_coco(str(path), str(image_directory), names, needs_images)


def read(source):
    return [found for part in source.parts for found in source.read(part)]
