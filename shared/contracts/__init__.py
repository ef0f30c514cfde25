"""Everything that crosses a boundary between services: words, the envelope, every event type, decisions.

Pure: imports the standard library and pydantic only, so any room may import it.
"""
