"""The gateway: takes calls, picks an instance, passes bytes on; owns nothing durable."""
