"""`tidegate replay`: places the real orders over HTTP on a running system, then verifies it. `shop` loads the products
and places the orders, `client` sends the requests, and `report` shows the results."""
