"""Needs a package that no image has."""

import a_package_that_no_image_has  # noqa: F401
