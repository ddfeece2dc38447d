"""The language of cellnode: pure domain, no IO, no clock, nothing asynchronous."""
