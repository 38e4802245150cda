"""Door 2: the same rooms, entered from Django REST framework.

With the middleware these classes adopt what it has decided. Without it they
decide themselves, with the same functions; CORS, request rules, response
headers and Django's own errors are not covered then.
"""
