"""The Kafka broker and the Redis server of `cellnode up`, both from PyPI packages."""
