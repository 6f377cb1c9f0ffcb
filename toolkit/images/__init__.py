"""Images: what a variant is, how it is built, and how it is proven before anyone starts it."""
