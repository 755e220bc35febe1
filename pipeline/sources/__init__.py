"""The sources of captioned images, one module a layout; each reads parts into mentions."""
