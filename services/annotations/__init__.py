"""The annotations service: tells Grafana each change of status, once, with its reason."""
