"""AndroidWorld's tasks as a suite: their code, unmodified and in its own Python, on phones of ours.

installation.py  where AndroidWorld lies, and the Python that has what it imports
worker.py        runs in that Python: draws tasks, sets them up, checks them
process.py       one such process, and what it says when it fails
catalogue.py     which tasks there are, and their instances
adb_calls.py     what AndroidWorld asks of adb, done over the driver's connection
session.py       one phone and its process: deadlines, faults
suite.py         the suite and its tasks

No code of AndroidWorld is part of this project; docs/androidworld.md says how to get it.
"""
