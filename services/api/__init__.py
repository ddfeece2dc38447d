"""The api: HTTP in, commands out; reads from the projection, events as streams."""
