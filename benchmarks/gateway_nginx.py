"""nginx set up to do what the gateway does for a call: log, id, limit, balance, keep alive."""

from __future__ import annotations

import os
from pathlib import Path

_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
  log_format calls '$remote_addr $request_id "$request" $status $body_bytes_sent $request_time';
  access_log {folder}/nginx-access.log calls;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  client_max_body_size 16m;
  keepalive_requests 1000000000;
  upstream instances {{
    least_conn;
{servers}
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location = /livez {{ return 200; }}
    location / {{
      proxy_pass http://instances;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Request-ID $request_id;
      add_header X-Request-ID $request_id;
    }}
  }}
}}
"""


def nginx_configuration(folder: Path, port: int, sockets: list[str]) -> str:
    servers = "\n".join(f"    server unix:{path};" for path in sockets)
    # Started by root, its worker would be nobody, who may not open our sockets.
    user = "user root;" if os.geteuid() == 0 else ""
    return _CONFIGURATION.format(folder=folder, port=port, servers=servers, user=user)
