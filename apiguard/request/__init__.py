"""A request's way through, one file per stage; the order stands in ``pipeline``.

Stages are plain functions over frozen facts and a frozen snapshot. Where a
stage needs something from outside, it yields an effect and is sent the
answer; so the synchronous middleware, the asynchronous one, DRF and an explanation of
what would happen share every line of judgement.
"""
