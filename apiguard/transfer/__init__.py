"""Policy that comes from somewhere else than a form: rows written from files and from code.

Everything here writes through the models, so it is checked, published and
remembered like an edit in the admin.
"""
