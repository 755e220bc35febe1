"""From features to captions: beam search and sampling."""
