"""A server of imwire. Start it with server.py; README.md says how it is built."""
