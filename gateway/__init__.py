"""The edge: HTTP and WebSocket. It checks who asks for what, posts commands, and reads views."""
