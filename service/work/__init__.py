"""THE WORKSHOP: makes jobs happen. The dispatcher starts workers; each worker trains one job.

It may import the hall, `store` and `mlp_core`; it never imports `api`: they meet at `store` only.
Every process here may die at any line; the row and the last checkpoint are enough to go on.
"""
