"""The story, scene by scene. Each scene claims only what it measured."""
