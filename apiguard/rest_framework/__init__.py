"""The classes for Django REST framework, which share the stages of ``request/``.

With the middleware these classes adopt what it has decided. Without it they
decide themselves, with the same functions; CORS, request rules, response
headers and Django's own errors are not covered then.
"""
