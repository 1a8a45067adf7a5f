"""A client of imwire: see client.py for its use, and the README beside this folder for how it is built."""
