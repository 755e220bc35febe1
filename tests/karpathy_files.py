"""Entries of Karpathy's splits for tests, and the files that hold them."""

import json

from pipeline.sources.split_names import make_split_names

NAMES = make_split_names("train", None)


def write(path, content=b"image"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def sentence(id, raw="A dog ."):
    return {"tokens": raw.lower().split(), "raw": raw, "imgid": 0, "sentid": id}


def entry_of(filename="a.jpg", split="train", sentences=None, **more):
    sentences = [sentence(0)] if sentences is None else sentences
    ids = {"sentids": [0], "imgid": 0}
    return {**ids, "sentences": sentences, "split": split, "filename": filename, **more}


def write_dataset(directory, *entries, name="flickr8k"):
    content = json.dumps({"images": entries or [entry_of()], "dataset": name})
    return write(directory / f"dataset_{name}.json", content)
