"""Features to captions: search and sampling."""
