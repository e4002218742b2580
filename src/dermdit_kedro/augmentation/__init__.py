"""The synthetic set: whom to make, and which of the images made to keep."""
