"""Trainings on the nodes of a Ray cluster.

The process that searches starts another one, the *driver*, which alone speaks to Ray: when the head of a cluster dies Ray ends
its driver without a word, and a search has to outlive that. `session` is the side of the search, `driver` that process with
its `tasks`, `nodes` what runs on the nodes, `words` what they say to each other.
"""
