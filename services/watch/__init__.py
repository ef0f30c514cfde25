"""The watcher: a small process of its own that sends a contact through Tocsin each minute and waits for its page.

It needs neither our database nor our broker: it knows Tocsin's HTTP API alone, and calls people by a way of its own.
"""
