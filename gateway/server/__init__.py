"""Everything between the network and the routes: uvicorn's protocols with bounds, middleware, the fast lane, and the
port for scrapes. It knows the caller, but nothing about the shop."""
