"""The routes, one file a resource. A route reads its request, asks the edge and answers; rules are not its business."""
