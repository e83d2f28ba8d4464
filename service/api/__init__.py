"""THE FRONT DESK: HTTP in, HTTP out.

It may import the hall, `store`, `pictures` and `mlp_core`; it never imports `work`: a submitted job
is a row in the store, and that is all the workshop needs. A GET never changes anything.
"""
