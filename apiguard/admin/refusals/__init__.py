"""Refused requests in the admin: find one, read why, list and group them."""
