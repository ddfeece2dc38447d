"""What runs inside an instance: the agent, which speaks HTTP, and the interpreter it watches."""
