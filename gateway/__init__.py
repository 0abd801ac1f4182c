"""The edge: HTTP and WebSocket. It checks who asks for what, posts commands, and reads views.

`app` is the entry point. The packages are layers, each of which imports only those below it: `routes`; `edge`, the
composition root of a process; `apidocs`; `realtime`, `writing` and `catalogue`; `server`; `identity`; `views`; `web`.
"""
