"""The routes, one file a noun. A route reads its request, asks the edge, and answers; rules are not its business."""
