"""The API's documents: OpenAPI and AsyncAPI, made from the code itself, and the pages that show them. What a word
means, and which problem has which members, stands here too."""
