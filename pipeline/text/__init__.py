"""From captions to words, ids, splits and a vocabulary."""
