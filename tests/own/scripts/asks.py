"""Asks for what nobody gives."""

name = input()
