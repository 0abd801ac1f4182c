"""The edge: HTTP and WebSocket. It checks who asks for what, posts commands, and reads views.

`app` is the front door. Behind it is a room for each thing that goes on, which knows only those below it: `routes`;
`edge`, what a process holds; `apidocs`; `realtime`, `writing` and `catalogue`; `server`; `identity`; `views`; `web`.
"""
