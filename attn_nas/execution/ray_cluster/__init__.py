"""Trainings on the nodes of a Ray cluster.

The process of the search starts a second process, the *driver*, and only the driver uses Ray: when the head of a cluster dies,
Ray ends the process that is connected to it, and a search has to survive that. `client` is the side of the search, `driver` the
second process with its `tasks`, `nodes` the code that runs on the nodes. `messages` are sent among the three, and
`carried_files` go with them.
"""
