"""Settings that gunicorn reads from the directory it is started in."""

import os

wsgi_app = "app:create_app()"
worker_class = "asgi"
workers = 4
bind = os.environ.get("BIND", "127.0.0.1:8000")
# Make the app once, before the fork: the workers start faster and share its memory.
preload_app = bool(os.environ.get("PRELOAD"))
# Every gunicorn of this user would share the path of the control socket.
control_socket_disable = True
