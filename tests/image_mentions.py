"""Mentions of one image for tests: its files, its listings in splits, and its captions."""

from pipeline.sources.mentions import Mention
from pipeline.text.join_captions import JoinRules, join_image

ID = "a.jpg"
RULES = JoinRules("tokens.txt", "images", split_fractions=None, needs_file=True, clean="coco")
THIRDS = (0.4, 0.3, 0.3)


def file(uri="images/a.jpg", location="", content="", order=0):
    return Mention(ID, uri=uri, location=location, content=content, order=order)


def listing(split, uri=""):
    return Mention(ID, split=split, uri=uri, is_listing=True)


def caption(order, text, caption_id=None):
    return Mention(ID, caption_id=caption_id or f"{ID}#{order}", order=order, text=text)


def join(mentions, **rules):
    return list(join_image(ID, mentions, RULES._replace(**rules)))


DOG, CAT, COW = caption(0, "A dog ."), caption(1, "A cat ."), caption(2, "A cow .")
