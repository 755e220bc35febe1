"""Where captioned images come from: one file a layout, each a function from parts to mentions."""
