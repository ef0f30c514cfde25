"""``tocsin demo``: two minutes on a server of its own that show what Tocsin does, every claim measured.

It meets the services as anybody does: by their public API, and by what arrives at Slack and in a mailbox.
"""
