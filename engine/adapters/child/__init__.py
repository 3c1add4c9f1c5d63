"""The part of `training-cockpit run` inside the user's program.

It needs torch, NumPy and the standard library only: the program may have modules called like the cockpit's, and an
environment of its own. Everything else happens in the cockpit's process, at the other end of a socket.
"""
