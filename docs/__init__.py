"""The documentation; its reference pages are made by reference.py."""
