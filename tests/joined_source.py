"""The join of all mentions of a source, without Beam."""

from pipeline.accounting.rejects import Reject
from pipeline.text.join_captions import JoinRules, image_name, join_image


def joined(source):
    """What the join makes of the source, and the rejects before it."""
    mentions, rejects = {}, []
    for part in source.parts:
        for found in source.read(part):
            if isinstance(found, Reject):
                rejects.append(found)
            else:
                mentions.setdefault(found.key, []).append(found)
    rules = JoinRules(source.captions, source.images, None, True, "coco")
    names = {key: image_name(key, said, False) for key, said in mentions.items()}
    return [
        row for key in mentions for row in join_image(names[key], mentions[key], rules)
    ], rejects
