"""The pages, and the program that writes those of docs/reference."""
